-- The list of a discovery service: as its operator keeps it, or as a client copied it.
CREATE TABLE discovery_list (
  side      text   NOT NULL,  -- 'server': ours; 'client': a copy
  service   text   NOT NULL,
  seed      text   NOT NULL,  -- another one means that the list began anew
  timestamp bigint NOT NULL,  -- Lamport time of the last entry
  PRIMARY KEY (side, service)
);

-- One entry per party: its last registration, or that it took it back.
CREATE TABLE discovery_entry (
  side         text        NOT NULL,
  service      text        NOT NULL,
  subject      text        NOT NULL,  -- DID of the party
  timestamp    bigint      NOT NULL,
  jti          text        NOT NULL,
  presentation text        NOT NULL,  -- JWT, as it was sent
  retracts     text        NOT NULL,  -- jti that is taken back; empty: a registration
  claims       jsonb       NOT NULL,  -- captured fields, to search by
  expires      timestamptz NOT NULL,
  PRIMARY KEY (side, service, subject)
);
CREATE INDEX discovery_entry_timestamp ON discovery_entry (side, service, timestamp);
CREATE INDEX discovery_entry_expires ON discovery_entry (side, service, expires);
