-- When we were last about to look at what a peer without event numbers has.
ALTER TABLE dialect_offer ADD COLUMN looked timestamptz NOT NULL DEFAULT 'epoch';
