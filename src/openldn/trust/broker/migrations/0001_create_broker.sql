-- What the broker minted, and what it rests on. No token, no BSN, no name of a person.
CREATE TABLE conversion (
  organization text        NOT NULL,  -- URA of whom it speaks
  jti          text        NOT NULL,  -- id of what was minted
  rule         text        NOT NULL,  -- row of the table of conversions: B5
  input_hash   text        NOT NULL,  -- base64url SHA-256 of the subject token
  dialect      text        NOT NULL,  -- of the proof that came in
  gives        text        NOT NULL,  -- jwt, vp, saml
  holder       text        NOT NULL,  -- URA of whom it is for
  audience     text        NOT NULL,  -- URL of the holder's authorization server
  scopes       text[]      NOT NULL,
  act          text[]      NOT NULL,  -- who acted in between, this broker first
  via          text[]      NOT NULL,  -- infrastructures it passed, nearest first
  checks       jsonb       NOT NULL,  -- [{code, source, text, outcome, said}]
  evidence     jsonb       NOT NULL,  -- [{kind, id, issuer, expires, status, chain}]
  status_url   text        NOT NULL,  -- list in which it can be revoked
  status_index integer     NOT NULL,
  issued       timestamptz NOT NULL,
  expires      timestamptz NOT NULL,
  revoked      timestamptz,           -- NULL: not revoked
  reason       text        NOT NULL DEFAULT '',  -- why: kind and id of the evidence that fell
  PRIMARY KEY (organization, jti)
);
CREATE INDEX conversion_jti ON conversion (jti);
CREATE INDEX conversion_outstanding ON conversion (expires) WHERE revoked IS NULL;

-- Subject tokens already used, kept until they expire: each is exchanged once.
CREATE TABLE used_subject (
  organization text        NOT NULL,  -- URA of whom it speaks
  value        text        NOT NULL,  -- issuer and jti or nonce
  expires      timestamptz NOT NULL,
  PRIMARY KEY (organization, value)
);
CREATE INDEX used_subject_expires ON used_subject (expires);

-- What the broker believes: only when two persons agree.
CREATE TABLE anchor (
  kind        text        NOT NULL,  -- authority (signs certificates), saml (pinned), broker
  id          text        NOT NULL,  -- base64url SHA-256 of the certificate
  certificate bytea       NOT NULL,  -- DER
  reason      text        NOT NULL,  -- why, in the proposer's words
  proposed_by text        NOT NULL,
  proposed    timestamptz NOT NULL,
  approved_by text,                  -- NULL: not yet approved
  approved    timestamptz,
  removed_by  text,                  -- one person is enough to stop believing
  removed     timestamptz,
  PRIMARY KEY (kind, id),
  CHECK (approved_by <> proposed_by)
);
