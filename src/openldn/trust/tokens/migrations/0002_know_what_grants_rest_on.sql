-- How a token was proven and what it rests on, so that it ends when that is revoked.
ALTER TABLE access_token
  ADD COLUMN key      text   NOT NULL DEFAULT '',    -- jkt of the DPoP key it is bound to
  ADD COLUMN evidence text[] NOT NULL DEFAULT '{}',  -- keys of table evidence
  ADD COLUMN proof    jsonb  NOT NULL DEFAULT '{}';  -- dialect, subject, system, act, claims

CREATE TABLE evidence (
  holder  text        NOT NULL,  -- URA of the organization whose tokens rest on it
  key     text        NOT NULL,  -- kind and id
  content jsonb       NOT NULL,  -- what is needed to look again
  expires timestamptz NOT NULL,
  PRIMARY KEY (holder, key)
);
CREATE INDEX evidence_expires ON evidence (holder, expires);

-- Whatever may be used once (jti, nonce, DPoP proof) is kept as a hash: shorter, and it tells
-- nothing. What was used before this step stays used.
ALTER TABLE used_assertion ADD COLUMN hash bytea;  -- SHA-256 of issuer|value
UPDATE used_assertion SET hash = sha256(convert_to(issuer || '|' || jti, 'UTF8'));
ALTER TABLE used_assertion
  DROP CONSTRAINT used_assertion_pkey,
  DROP COLUMN issuer,
  DROP COLUMN jti,
  ADD PRIMARY KEY (holder, hash);
