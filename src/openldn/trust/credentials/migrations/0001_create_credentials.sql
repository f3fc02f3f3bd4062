-- What an organization holds of others, to show to others.
CREATE TABLE wallet_credential (
  holder  text        NOT NULL,  -- URA of the organization whose wallet it is in
  id      text        NOT NULL,  -- id of the credential
  kind    text        NOT NULL,  -- its type
  issuer  text        NOT NULL,  -- DID or URL
  subject text        NOT NULL,  -- DID that presents it
  issued  timestamptz NOT NULL,
  expires timestamptz,           -- NULL: it has no end
  encoded text        NOT NULL,  -- the JWT, or the JSON of one that is not signed itself
  loaded  timestamptz NOT NULL,
  PRIMARY KEY (holder, id)
);

-- How many places of its status lists an organization has given out.
CREATE TABLE status_counter (
  holder text   NOT NULL,  -- URA
  next   bigint NOT NULL,  -- the next place, over all pages
  PRIMARY KEY (holder)
);

-- The place of each credential that an organization issued, and whether it was revoked.
CREATE TABLE status_entry (
  holder     text        NOT NULL,  -- URA of who issued it
  credential text        NOT NULL,  -- id of the credential
  place      bigint      NOT NULL,  -- page and index follow from it
  revoked    timestamptz,           -- NULL: it still counts
  PRIMARY KEY (holder, credential)
);
CREATE UNIQUE INDEX status_entry_place ON status_entry (holder, place);
