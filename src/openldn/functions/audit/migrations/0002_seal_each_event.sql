-- Each event gets a seal, so that a chain written without the key of the log is found out; and
-- what vouches for the whole: signed heads of its Merkle tree.
ALTER TABLE audit_event ADD COLUMN seal bytea NOT NULL DEFAULT '';  -- HMAC over the line; '' = none
ALTER TABLE audit_event ALTER COLUMN seal DROP DEFAULT;
-- bodies are large and alike: compressed fast they fit the page; a server may lack lz4
DO $$ BEGIN
  ALTER TABLE audit_event ALTER COLUMN body SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN NULL;
END $$;

CREATE TABLE audit_tree_node (
  holder text   NOT NULL,
  level  int    NOT NULL,  -- 1 = over 256 leaves, 2 = over 65,536, …
  place  bigint NOT NULL,  -- 0, 1, 2 … from the first event on
  hash   bytea  NOT NULL,  -- Merkle tree hash (RFC 9162 §2.1.1) of all leaves below
  PRIMARY KEY (holder, level, place)
);
CREATE TABLE audit_tree_head (
  holder text        NOT NULL,
  size   bigint      NOT NULL,  -- how many events the head vouches for
  root   bytea       NOT NULL,  -- Merkle tree hash of these
  signed timestamptz NOT NULL,
  jws    text        NOT NULL,  -- the head, signed
  PRIMARY KEY (holder, size)
);

-- Segments that were kept long enough and are removed: what remains of them.
CREATE TABLE audit_removed (
  holder  text        NOT NULL,
  upto    bigint      NOT NULL,  -- the last event that was removed
  hash    bytea       NOT NULL,  -- of that event
  removed timestamptz NOT NULL,
  seal    bytea       NOT NULL,  -- HMAC over holder, upto and hash with the key of the log
  PRIMARY KEY (holder, upto)
);

-- Only what was kept for five years may go, and only as a whole: up to a signed head.
CREATE OR REPLACE FUNCTION audit_event_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' AND OLD.recorded < now() - interval '5 years' AND EXISTS (
    SELECT FROM audit_removed r WHERE r.holder = OLD.holder AND r.upto >= OLD.seq
  ) THEN
    RETURN OLD;
  END IF;
  RAISE EXCEPTION 'audit events are never changed or removed';
END $$;
