-- Requests of a placer that work it asked for be stopped, at both sides.
CREATE TABLE stop (
  holder  text        NOT NULL,  -- URA of the organization whose offers these are
  id      text        NOT NULL,  -- Task.id at the placer
  offer   text        NOT NULL,  -- handle of the offer that it is about
  state   text        NOT NULL,
  version integer     NOT NULL,
  changed timestamptz NOT NULL,
  body    bytea       NOT NULL,  -- why, and why not, sealed
  PRIMARY KEY (holder, offer, id)
);
CREATE INDEX stop_id ON stop (holder, id);
