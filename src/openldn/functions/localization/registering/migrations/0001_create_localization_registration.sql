-- What this holder wants the index to say, and what it confirmed.
CREATE TABLE localization_registration (
  holder   text        NOT NULL,  -- URA of the organization
  patient  text        NOT NULL,  -- BSN
  category text        NOT NULL,  -- data category; '' = the index keeps none
  wanted   boolean     NOT NULL,  -- whether there are data of it
  held     boolean     NOT NULL,  -- whether the index confirmed it since it was last wanted
  revision integer     NOT NULL,  -- of `wanted`: an answer to an older one does not count
  tries    integer     NOT NULL,  -- in vain, since `wanted` changed
  changed  timestamptz NOT NULL,  -- when `wanted` changed
  due      timestamptz NOT NULL,  -- when to speak with the index
  busy     timestamptz,           -- until when somebody is speaking with it; NULL = nobody
  PRIMARY KEY (holder, patient, category)
);
CREATE INDEX localization_registration_open ON localization_registration (holder, due)
  WHERE NOT (wanted AND held);

-- Up to where the changes of the store were read.
CREATE TABLE localization_cursor (
  holder text NOT NULL PRIMARY KEY,
  cursor text NOT NULL
);
