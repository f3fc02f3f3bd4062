-- What directories told of their entries, and how the addresses in them answer.
CREATE TABLE directory_entry (
  directory text        NOT NULL,  -- base URL of the directory it came from
  type      text        NOT NULL,  -- resource type: two types may use one id
  id        text        NOT NULL,
  numbered  boolean     NOT NULL,  -- whether the directory told which version this is
  number    integer     NOT NULL,  -- meta.versionId; 0 = not told
  updated   timestamptz NOT NULL,  -- meta.lastUpdated; year 1 = not told
  digest    text        NOT NULL COLLATE "C",  -- SHA-256 of body; '' = removed
  body      bytea,                 -- the resource as FHIR JSON; NULL = removed
  PRIMARY KEY (directory, type, id, numbered)
);

-- How far each type of each directory was followed, by the time of the directory.
CREATE TABLE directory_watermark (
  directory text        NOT NULL,
  type      text        NOT NULL,
  since     timestamptz NOT NULL,
  PRIMARY KEY (directory, type)
);

-- Whether an address worked when it was last tried.
CREATE TABLE endpoint_health (
  directory    text        NOT NULL,
  endpoint     text        NOT NULL,  -- id of the Endpoint there
  address      text        NOT NULL,
  tried        timestamptz NOT NULL,  -- the last time
  ok           timestamptz,           -- the last time it worked; NULL = never
  failed       timestamptz,           -- the last time it did not; NULL = never
  kind         text        NOT NULL,  -- how the last try came out: ok, tls, timeout …
  said         text        NOT NULL,  -- what can be done about it
  milliseconds integer     NOT NULL,  -- how long the last try took
  PRIMARY KEY (directory, endpoint)
);
