-- Who saw what of whom. Rows are written once and never changed.
CREATE TABLE audit_event (
  holder       text        NOT NULL,  -- URA of the organization that keeps this log
  seq          bigint      NOT NULL,  -- place in the holder's chain: 1, 2, 3 … without gaps
  id           text        NOT NULL,  -- AuditEvent.id
  recorded     timestamptz NOT NULL,  -- AuditEvent.recorded
  tag          text        NOT NULL,  -- code of the event catalog: data-served
  patient_key  bytea,                 -- HMAC of the BSN with the key of the log; NULL = no patient
  organization text        NOT NULL,  -- URA of who asked
  actor        text        NOT NULL,  -- UZI number of who asked; '' = no person
  correlation  text        NOT NULL,  -- X-Request-Id; '' = none
  outcome      text        NOT NULL,  -- 0, 4, 8 or 12
  once         bytea,                 -- what makes a retry the same access; NULL = never the same
  body         bytea       NOT NULL,  -- the AuditEvent as canonical JSON (RFC 8785)
  prev_hash    bytea       NOT NULL,  -- hash of the event before; 32 zero bytes before the first
  hash         bytea       NOT NULL,  -- SHA-256 of prev_hash followed by body
  PRIMARY KEY (holder, seq)
);
CREATE UNIQUE INDEX audit_event_once ON audit_event (holder, once) WHERE once IS NOT NULL;
CREATE INDEX audit_event_recorded ON audit_event (holder, recorded, seq);
CREATE INDEX audit_event_patient ON audit_event (holder, patient_key, seq);
CREATE INDEX audit_event_correlation ON audit_event (holder, correlation, seq);

-- The end of each chain, so that events missing at the end are noticed as well.
CREATE TABLE audit_head (
  holder text   NOT NULL PRIMARY KEY,
  seq    bigint NOT NULL,  -- of the last event; 0 = none yet
  hash   bytea  NOT NULL,  -- of the last event
  seal   bytea  NOT NULL   -- HMAC over holder, seq and hash with the key of the log
);

CREATE FUNCTION audit_event_is_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'audit events are never changed or removed';
END $$;
CREATE TRIGGER audit_event_no_change BEFORE UPDATE OR DELETE ON audit_event
  FOR EACH ROW EXECUTE FUNCTION audit_event_is_final();
CREATE TRIGGER audit_event_no_truncate BEFORE TRUNCATE ON audit_event
  FOR EACH STATEMENT EXECUTE FUNCTION audit_event_is_final();
