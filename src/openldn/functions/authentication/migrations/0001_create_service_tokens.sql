-- Tokens of the gateway: by their hash only, never the token.
CREATE TABLE service_token (
  hash         bytea       NOT NULL PRIMARY KEY,  -- SHA-256 of the token
  id           text        NOT NULL,  -- names the token in logs without being the token
  organization text        NOT NULL,  -- URA of the main organization
  oin          text,                  -- its OIN, where the service knows organizations by it
  name         text        NOT NULL,  -- of the main organization, as its certificate has it
  acting       text        NOT NULL,  -- URA or OIN of who holds the connection; '': itself
  source       text        NOT NULL,  -- the application of the organization
  audience     text        NOT NULL,  -- the service it opens
  scopes       text[]      NOT NULL,
  thumbprint   text        NOT NULL,  -- base64url SHA-256 of the client certificate
  issued       timestamptz NOT NULL,
  expires      timestamptz NOT NULL
);
CREATE INDEX service_token_expires ON service_token (expires);

-- Assertions of clients that were shown, kept until they expire: each counts once.
CREATE TABLE used_client_assertion (
  hash    bytea       NOT NULL PRIMARY KEY,  -- SHA-256 of iss|jti
  expires timestamptz NOT NULL  -- after this it is refused for its age
);
CREATE INDEX used_client_assertion_expires ON used_client_assertion (expires);
