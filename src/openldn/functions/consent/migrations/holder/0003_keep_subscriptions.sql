-- Whose choices this holder wants to hear about, and where its subscription stands.
CREATE TABLE consent_subscription (
  holder      text    NOT NULL,             -- URA
  patient_key bytea   NOT NULL,
  patient     bytea   NOT NULL,             -- the BSN, sealed: the registry must be told
  wanted      boolean NOT NULL,
  place       text    NOT NULL DEFAULT '',  -- path at the registry; empty: it does not stand yet
  tries       int     NOT NULL DEFAULT 0,
  due         timestamptz,                  -- when to do something about it; NULL: nothing to do
  PRIMARY KEY (holder, patient_key)
);
CREATE INDEX consent_subscription_due ON consent_subscription (holder, due) WHERE due IS NOT NULL;
