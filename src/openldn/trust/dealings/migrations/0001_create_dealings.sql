-- How many refusals of an organization were ever written; its row is the writers' turnstile.
CREATE TABLE refusal_count (
  holder  text   NOT NULL PRIMARY KEY,  -- URA of the organization whose dealings these are
  written bigint NOT NULL
);

-- The last refusals, in a ring: the key itself keeps them from growing beyond 500.
CREATE TABLE refusal (
  holder      text        NOT NULL,
  slot        integer     NOT NULL CHECK (slot BETWEEN 0 AND 499),  -- number modulo 500
  number      bigint      NOT NULL,  -- counts up per organization; newer is higher
  moment      timestamptz NOT NULL,
  correlation text        NOT NULL,  -- X-Request-Id, the same in the log of both sides
  direction   text        NOT NULL,  -- in: we refused; out: we were refused
  peer        text        NOT NULL,  -- URA, when proven; else empty
  dialect     text        NOT NULL,
  code        text        NOT NULL,  -- of the rule that did not hold
  PRIMARY KEY (holder, slot)
);
CREATE INDEX refusal_number ON refusal (holder, number);

-- When a token last passed between us and a peer.
CREATE TABLE contact (
  holder    text        NOT NULL,
  peer      text        NOT NULL,  -- URA
  direction text        NOT NULL,  -- in: we gave it one; out: it gave us one
  moment    timestamptz NOT NULL,
  PRIMARY KEY (holder, peer, direction)
);
