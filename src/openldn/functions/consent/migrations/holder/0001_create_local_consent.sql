-- Consents that this holder recorded itself (IHE PCF). The newest version counts.
CREATE TABLE local_consent (
  holder      text        NOT NULL,  -- URA
  id          text        NOT NULL,  -- Consent.id
  version     bigint      NOT NULL,
  patient_key bytea       NOT NULL,  -- HMAC of the BSN with the key of the store
  recorded    timestamptz NOT NULL,
  active      boolean     NOT NULL,
  choices     bytea       NOT NULL,  -- what it means, as JSON; [] when it is no longer active
  body        bytea       NOT NULL,  -- the Consent as FHIR JSON, sealed: it names the patient
  PRIMARY KEY (holder, id, version)
);
CREATE INDEX local_consent_patient ON local_consent (holder, patient_key);

-- What a national registry told: one row per thing that can be chosen, the newest kept.
CREATE TABLE told_consent (
  holder      text        NOT NULL,  -- URA
  patient_key bytea       NOT NULL,
  about       text        NOT NULL,  -- the sides of the choice
  id          text        NOT NULL,  -- of the Consent that told it
  moment      timestamptz NOT NULL,  -- when the registry says it was so
  state       text        NOT NULL,  -- permit, deny or none
  choices     bytea       NOT NULL,  -- the choice as JSON; [] for none
  body        bytea       NOT NULL,  -- the Consent as received, sealed
  PRIMARY KEY (holder, patient_key, about)
);
