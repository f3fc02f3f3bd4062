-- What came in before, by a key of its sender.
CREATE TABLE inbox_seen (
  holder   text        NOT NULL,  -- URA of the organization that receives
  source   text        NOT NULL,  -- who sent it, and over which subscription
  key      text        NOT NULL,  -- event, or identifier and status of a Task
  received timestamptz NOT NULL,
  PRIMARY KEY (holder, source, key)
);
CREATE INDEX inbox_seen_received ON inbox_seen (holder, received);

-- Numbered events that came in, as far as they are not covered by inbox_reach.
CREATE TABLE inbox_event (
  holder   text        NOT NULL,
  source   text        NOT NULL,
  number   bigint      NOT NULL,
  received timestamptz NOT NULL,
  PRIMARY KEY (holder, source, number)
);

-- Up to where all events of a source came in.
CREATE TABLE inbox_reach (
  holder text   NOT NULL,
  source text   NOT NULL,
  upto   bigint NOT NULL,
  PRIMARY KEY (holder, source)
);
