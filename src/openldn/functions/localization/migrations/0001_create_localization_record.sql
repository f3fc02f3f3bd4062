-- Who holds data of which patient. No BSN and no pseudonym: `lookup` cannot be turned back.
-- Spread by patient (lookup), not by organization: each question is about one patient.
CREATE TABLE localization_record (
  created       timestamptz NOT NULL,  -- when it was registered
  id            uuid        NOT NULL,  -- id of the List
  key_version   integer     NOT NULL,  -- of the pseudonym service's key, behind `lookup`
  source_system smallint    NOT NULL,  -- 1 urn:ietf:rfc:3986, 2 oauth-client-id
  custodian_ura text        NOT NULL,  -- eight digits: who holds the data, and alone may remove
  lookup        bytea       NOT NULL,  -- HMAC-SHA256(index key, group element)
  category      text        NOT NULL,  -- data category; '' = none told
  source_value  text        NOT NULL,  -- which application of the holder registered
  PRIMARY KEY (lookup, custodian_ura, category, source_value)
);
CREATE INDEX localization_record_own ON localization_record (custodian_ura, id);

-- Tokens that may be used once (ig-ministry), kept until they end.
CREATE TABLE localization_use (
  digest        bytea       NOT NULL PRIMARY KEY,  -- SHA-256 of the JWE
  custodian_ura text        NOT NULL,  -- who used it
  mark          bytea       NOT NULL,  -- of the request: an identical retry has the same
  used          timestamptz NOT NULL,
  expires       timestamptz NOT NULL
);
CREATE INDEX localization_use_expires ON localization_use (expires);

-- What tells that the index key is the one these records were made with.
CREATE TABLE localization_key (
  one   boolean NOT NULL PRIMARY KEY CHECK (one),
  proof bytea   NOT NULL  -- HMAC of a fixed text with the index key
);
