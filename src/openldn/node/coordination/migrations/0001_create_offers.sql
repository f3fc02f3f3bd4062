-- Every offer as one side knows it: what we sent, and our copy of what we received.
CREATE TABLE offer (
  holder     text        NOT NULL,  -- URA of the organization whose offers these are
  handle     text        NOT NULL,  -- Task.id of what we sent; made from placer and Task.id else
  side       text        NOT NULL CHECK (side IN ('sent', 'received')),
  task       text        NOT NULL,  -- Task.id at the placer
  peer       text        NOT NULL,  -- URA of the other side
  version    integer     NOT NULL,  -- of the Task; raised with each change
  state      text        NOT NULL,
  family     text        NOT NULL,  -- candidates for one request share it; empty: none
  exchange   text        NOT NULL,
  subject    text        NOT NULL,  -- id of Patient and ServiceRequest at the placer
  base       bytea,                 -- digest of the authorization base
  created    timestamptz NOT NULL,
  changed    timestamptz NOT NULL,
  body       bytea       NOT NULL,  -- the offer and its patient, sealed
  PRIMARY KEY (holder, handle)
);
CREATE INDEX offer_changed ON offer (holder, side, changed DESC, handle);
CREATE INDEX offer_peer ON offer (holder, side, peer, changed);
CREATE INDEX offer_family ON offer (holder, family) WHERE family <> '';
CREATE INDEX offer_subject ON offer (holder, subject) WHERE subject <> '';
CREATE UNIQUE INDEX offer_base ON offer (holder, base) WHERE base IS NOT NULL;

-- What happened to each offer, in order; kept as long as the offer.
CREATE TABLE offer_change (
  holder      text        NOT NULL,
  handle      text        NOT NULL,
  version     integer     NOT NULL,
  event       text        NOT NULL,
  actor       text        NOT NULL,  -- placer or fulfiller
  before      text        NOT NULL,  -- its state before; empty: there was none
  state       text        NOT NULL,  -- afterwards
  moment      timestamptz NOT NULL,
  correlation text        NOT NULL,
  told        bytea       NOT NULL,  -- who did it and why, sealed
  audited     boolean     NOT NULL DEFAULT false,
  PRIMARY KEY (holder, handle, version)
);
CREATE INDEX offer_change_unaudited ON offer_change (holder, moment) WHERE NOT audited;

-- Who hears of changes to what it was offered. One per peer is made by ourselves.
CREATE TABLE subscription (
  holder    text        NOT NULL,
  id        text        NOT NULL,
  peer      text        NOT NULL,  -- URA of who hears
  managed   boolean     NOT NULL,  -- made by ourselves, from the directory
  status    text        NOT NULL,  -- of the Subscription
  endpoint  text        NOT NULL,  -- as the subscriber said; empty: as the directory says
  payload   text        NOT NULL,  -- id-only
  heartbeat integer     NOT NULL,  -- seconds
  reason    text        NOT NULL,  -- as the subscriber said
  number    bigint      NOT NULL,  -- of the last event
  created   timestamptz NOT NULL,
  PRIMARY KEY (holder, id)
);
CREATE INDEX subscription_peer ON subscription (holder, peer);
CREATE UNIQUE INDEX subscription_managed ON subscription (holder, peer) WHERE managed;

-- Every event of every subscription, stored with the change it tells of.
CREATE TABLE event (
  holder       text        NOT NULL,
  subscription text        NOT NULL,
  number       bigint      NOT NULL,  -- counts up by one
  handle       text        NOT NULL,
  version      integer     NOT NULL,
  moment       timestamptz NOT NULL,
  delivered    timestamptz,           -- when the subscriber took it
  PRIMARY KEY (holder, subscription, number)
);
CREATE INDEX event_handle ON event (holder, handle, version);

-- What other placers told us, kept before they hear that we have it.
CREATE TABLE heard (
  holder       text        NOT NULL,
  placer       text        NOT NULL,
  subscription text        NOT NULL,  -- as the placer calls it
  number       bigint      NOT NULL,
  task         text        NOT NULL,
  moment       timestamptz NOT NULL,
  done         boolean     NOT NULL DEFAULT false,  -- the Task was read since
  PRIMARY KEY (holder, placer, subscription, number)
);
CREATE INDEX heard_waiting ON heard (holder, placer, task) WHERE NOT done;

-- Where we are with each subscription of another placer.
CREATE TABLE feed (
  holder       text        NOT NULL,
  placer       text        NOT NULL,
  subscription text        NOT NULL,
  whole        bigint      NOT NULL,  -- up to this number nothing is missing
  newest       bigint      NOT NULL,  -- the highest number that we know of
  alive        timestamptz NOT NULL,  -- when we last heard anything
  PRIMARY KEY (holder, placer, subscription)
);

-- What we decided about an offer we received, until its placer knows.
CREATE TABLE answer (
  holder   text        NOT NULL,
  id       text        NOT NULL,
  handle   text        NOT NULL,
  event    text        NOT NULL,
  asked    timestamptz NOT NULL,
  state    text        NOT NULL CHECK (state IN ('waiting', 'done', 'refused', 'overtaken')),
  issue    text        NOT NULL,  -- of a refusal
  message  text        NOT NULL,  -- of a refusal, without personal data
  given    bytea       NOT NULL,  -- what comes along and who did it, sealed
  PRIMARY KEY (holder, id)
);
CREATE UNIQUE INDEX answer_waiting ON answer (holder, handle) WHERE state = 'waiting';
CREATE INDEX answer_handle ON answer (holder, handle, asked);
