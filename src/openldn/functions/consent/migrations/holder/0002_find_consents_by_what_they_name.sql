-- What a consent names: "Task/7", or what else a referral is known by. No name of a person.
ALTER TABLE local_consent ADD COLUMN named text[] NOT NULL DEFAULT '{}';
CREATE INDEX local_consent_named ON local_consent USING gin (named);
