-- How the last try that failed came out: it stays known after the address works again.
ALTER TABLE endpoint_health ADD COLUMN failure text;  -- kind, such as timeout; NULL = never failed
UPDATE endpoint_health SET failure = kind WHERE kind <> 'ok';
