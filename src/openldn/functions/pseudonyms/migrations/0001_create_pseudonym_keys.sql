-- Organizations that pseudonyms are made for. Nothing of a patient is ever kept.
CREATE TABLE recipient (
  organization text NOT NULL PRIMARY KEY,  -- URA
  oin          text                        -- NULL = none; how `oin:` questions find it
);
CREATE UNIQUE INDEX recipient_oin ON recipient (oin);

-- The public keys that evaluations are encrypted to.
CREATE TABLE recipient_key (
  organization text        NOT NULL,  -- URA of whose key it is
  id           text        NOT NULL,
  scopes       text[]      NOT NULL,  -- lower case; {*} = every scope; two keys never share one
  kid          text        NOT NULL,  -- stands in the header of each JWE
  pem          text        NOT NULL,  -- SubjectPublicKeyInfo
  created      timestamptz NOT NULL,
  PRIMARY KEY (organization, id)
);

-- The secrets that pseudonyms are made with, per recipient and scope; old numbers never return.
CREATE TABLE pseudonym_key (
  organization text        NOT NULL,  -- URA of the recipient
  scope        text        NOT NULL,  -- * = a root from which each scope has its own secret
  version      integer     NOT NULL,  -- 1, 2, 3 …
  id           text        NOT NULL,
  begins       timestamptz NOT NULL,
  ends         timestamptz,           -- NULL = not yet decided
  destroyed    timestamptz,           -- NULL = it is still there
  sealed       bytea,                 -- AES-256-GCM with the key of the service; NULL = destroyed
  PRIMARY KEY (organization, scope, version)
);
CREATE UNIQUE INDEX pseudonym_key_id ON pseudonym_key (organization, id);
CREATE INDEX pseudonym_key_ends ON pseudonym_key (ends) WHERE sealed IS NOT NULL;
