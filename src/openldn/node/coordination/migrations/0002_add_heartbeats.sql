-- When a subscriber was last told anything, so that it hears at least once in its period.
ALTER TABLE subscription ADD COLUMN told timestamptz NOT NULL DEFAULT '-infinity';
CREATE INDEX subscription_told ON subscription (holder, told) WHERE status = 'active';

-- How often another placer promised to let itself be heard, in seconds; null: not asked yet.
ALTER TABLE feed ADD COLUMN heartbeat integer;
