-- What opens a holder's data: tokens by their hash only, never the token.
CREATE TABLE access_token (
  holder            text        NOT NULL,  -- URA of the organization whose data it opens
  hash              bytea       NOT NULL,  -- SHA-256 of the token
  id                text        NOT NULL,  -- names the grant in evidence
  organization      text        NOT NULL,  -- URA of who asked
  organization_name text        NOT NULL,  -- as its certificate has it
  uzi               text,                  -- the person, as the organization vouches; NULL: none
  role              text,                  -- UZI role code
  name              text,
  purpose           text        NOT NULL,  -- v3-ActReason code
  patient           text,                  -- BSN, when the token is about one patient
  scopes            text[]      NOT NULL,
  thumbprint        text        NOT NULL,  -- base64url SHA-256 of the client certificate
  issued            timestamptz NOT NULL,
  expires           timestamptz NOT NULL,
  PRIMARY KEY (holder, hash)
);
CREATE INDEX access_token_expires ON access_token (holder, expires);

-- Assertions already used, kept until they expire: each opens the door once.
CREATE TABLE used_assertion (
  holder  text        NOT NULL,
  issuer  text        NOT NULL,  -- URA of who made it
  jti     text        NOT NULL,
  expires timestamptz NOT NULL,  -- after this it is refused for its age
  PRIMARY KEY (holder, issuer, jti)
);
CREATE INDEX used_assertion_expires ON used_assertion (holder, expires);
