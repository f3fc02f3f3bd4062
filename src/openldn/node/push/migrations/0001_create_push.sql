-- Every push as one side knows it: what we sent, and what others sent us.
CREATE TABLE push (
  holder   text        NOT NULL,  -- URA of the organization whose pushes these are
  id       text        NOT NULL,
  side     text        NOT NULL CHECK (side IN ('sent', 'received')),
  message  text        NOT NULL,  -- the id both sides know it by
  peer     text        NOT NULL,  -- URA of the other side
  state    text        NOT NULL,
  version  integer     NOT NULL,
  created  timestamptz NOT NULL,
  changed  timestamptz NOT NULL,
  load     text        NOT NULL,  -- which parts are its content; empty: none (any more)
  audited  boolean     NOT NULL DEFAULT false,  -- what it came to stands in the audit log
  body     bytea       NOT NULL,  -- the push, its patient and on whose behalf, sealed
  receipt  bytea,                 -- what the receiver answered, sealed
  PRIMARY KEY (holder, id)
);
CREATE UNIQUE INDEX push_message ON push (holder, side, peer, message);
CREATE INDEX push_changed ON push (holder, side, changed DESC, id);

-- The content, entry by entry, until it was delivered or taken. A load is one upload.
CREATE TABLE push_part (
  holder  text        NOT NULL,
  load    text        NOT NULL,
  number  integer     NOT NULL,  -- 0 and the last: what stands around the entries
  size    integer     NOT NULL,  -- bytes, before it was sealed
  created timestamptz NOT NULL,
  body    bytea       NOT NULL,  -- sealed
  PRIMARY KEY (holder, load, number)
);
CREATE INDEX push_part_created ON push_part (holder, created);
