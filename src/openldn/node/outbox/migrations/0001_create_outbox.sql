-- The parties we send to, and whether they answer: the circuit breaker.
CREATE TABLE outbox_peer (
  holder   text        NOT NULL,            -- URA of the organization that sends
  peer     text        NOT NULL,            -- URA of the organization that receives
  failures integer     NOT NULL DEFAULT 0,  -- deliveries in a row that failed
  failing  timestamptz,                     -- since when; NULL = the last one succeeded
  retry    timestamptz,                     -- not before this moment; NULL = any time
  PRIMARY KEY (holder, peer)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- One row for each peer and subject with messages that wait: a worker leases a whole lane, so
-- that its messages stay in order.
CREATE TABLE outbox_lane (
  holder  text        NOT NULL,
  peer    text        NOT NULL,
  subject text        NOT NULL,  -- ordering key
  pending integer     NOT NULL,  -- messages that wait in it
  due     timestamptz NOT NULL,  -- when it may be leased; of a leased one: when the lease ends
  set_at  timestamptz NOT NULL,  -- when `due` was set: in the future, if the clock was set back
  owner   integer,               -- number of the worker that leased it; NULL = nobody
  failing timestamptz,           -- since when its deliveries fail; NULL = they do not
  PRIMARY KEY (holder, peer, subject)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.2);
CREATE INDEX outbox_lane_due ON outbox_lane (holder, peer, due);

CREATE TABLE outbox_message (
  holder   text        NOT NULL,
  id       text        NOT NULL,
  sequence bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,  -- rises within a lane
  peer     text        NOT NULL,
  subject  text        NOT NULL,
  kind     text        NOT NULL,
  body     bytea       NOT NULL,  -- emptied once it is delivered or dropped
  created  timestamptz NOT NULL,
  state    text        NOT NULL,  -- queued, delivered, dead or dropped; leased is told by the lane
  attempts integer     NOT NULL,  -- deliveries that failed, since it was queued
  tried    timestamptz,           -- last delivery
  reason   text        NOT NULL,  -- why the last one failed, or why it was dropped
  settled  timestamptz,           -- when it was delivered, given up or dropped
  PRIMARY KEY (holder, id)
) WITH (autovacuum_vacuum_scale_factor = 0.05);
ALTER TABLE outbox_message ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX outbox_message_waiting ON outbox_message (holder, peer, subject, sequence)
  WHERE state = 'queued';
CREATE INDEX outbox_message_dead ON outbox_message (holder, sequence) WHERE state = 'dead';
CREATE INDEX outbox_message_settled ON outbox_message (holder, settled)
  WHERE state IN ('delivered', 'dropped');
