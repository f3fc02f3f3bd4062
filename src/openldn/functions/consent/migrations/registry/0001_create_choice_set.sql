-- What each patient chose, as a whole, in every version there was. Rows are never changed.
CREATE TABLE choice_set (
  patient_key bytea       NOT NULL,  -- HMAC of the BSN with the key of the store
  version     bigint      NOT NULL,  -- 1, 2, 3 … per patient
  id          text        NOT NULL,  -- what evidence names; the id of a choice begins with it
  recorded    timestamptz NOT NULL,  -- counts from this moment
  chooser     text        NOT NULL,  -- self or parent
  lapses      date,                  -- permissions end on this day; NULL = they do not
  digest      bytea       NOT NULL,  -- SHA-256 of what was sent, so that a retry is known
  body        bytea       NOT NULL,  -- the choices as JSON
  PRIMARY KEY (patient_key, version)
);

-- What a child chose and a parent has not confirmed yet; at most one per patient.
CREATE TABLE choice_waiting (
  patient_key bytea       NOT NULL PRIMARY KEY,
  id          text        NOT NULL,
  code        bytea       NOT NULL,  -- HMAC of the link code
  expires     timestamptz NOT NULL,
  attempts    int         NOT NULL,  -- wrong codes that were tried
  chooser     text        NOT NULL,
  lapses      date,
  digest      bytea       NOT NULL,
  body        bytea       NOT NULL
);

-- Holders that want to hear of changes.
CREATE TABLE choice_subscription (
  patient_key bytea       NOT NULL,
  subscriber  text        NOT NULL,  -- URA of the holder
  id          text        NOT NULL UNIQUE,
  kind        text        NOT NULL,  -- type of care provider
  endpoint    text        NOT NULL,
  format      text        NOT NULL,  -- json or xml
  created     timestamptz NOT NULL,
  PRIMARY KEY (patient_key, subscriber)
);

-- What subscribers must still hear; written together with the change, removed once delivered.
CREATE TABLE choice_notification (
  subscription text        NOT NULL,
  seq          bigint      GENERATED ALWAYS AS IDENTITY,
  due          timestamptz NOT NULL,
  attempts     int         NOT NULL,
  body         bytea       NOT NULL,  -- sealed: it names the patient
  PRIMARY KEY (subscription, seq)
);
CREATE INDEX choice_notification_due ON choice_notification (due);
