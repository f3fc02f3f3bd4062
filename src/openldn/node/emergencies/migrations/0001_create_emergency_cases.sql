-- Every time the glass was broken, at the side that asked and at the side that holds the data.
CREATE TABLE emergency_case (
    organization text NOT NULL,
    id text NOT NULL,
    side text NOT NULL CHECK (side IN ('asked', 'held')),
    asker text NOT NULL,
    number text NOT NULL,
    name text NOT NULL DEFAULT '',
    patient text NOT NULL,
    person text NOT NULL DEFAULT '',
    role text NOT NULL DEFAULT '',
    code text NOT NULL DEFAULT '',
    reason text NOT NULL DEFAULT '',
    exchange text NOT NULL DEFAULT '',
    began timestamptz NOT NULL,
    holders text[] NOT NULL DEFAULT '{}',
    opened boolean NOT NULL DEFAULT false,
    level text NOT NULL DEFAULT '',
    outcome text CHECK (outcome IN ('justified', 'not-justified')),
    review text NOT NULL DEFAULT '',
    reviewer text NOT NULL DEFAULT '',
    reviewer_name text NOT NULL DEFAULT '',
    reviewed timestamptz,
    CHECK (outcome IS NULL OR (reviewer <> '' AND reviewer <> person)),
    PRIMARY KEY (organization, id),
    UNIQUE (organization, side, asker, number)
);
COMMENT ON COLUMN emergency_case.organization IS 'URA of the organization whose node keeps it';
COMMENT ON COLUMN emergency_case.id IS 'what this node calls it';
COMMENT ON COLUMN emergency_case.side IS 'asked: our own person broke the glass; held: somebody did at us';
COMMENT ON COLUMN emergency_case.asker IS 'URA of the organization whose person broke the glass';
COMMENT ON COLUMN emergency_case.number IS 'what both sides call it; made by the asking side';
COMMENT ON COLUMN emergency_case.name IS 'name of the asking organization';
COMMENT ON COLUMN emergency_case.patient IS 'BSN of the patient, who is shown the case';
COMMENT ON COLUMN emergency_case.person IS 'UZI or Dezi number of who broke the glass';
COMMENT ON COLUMN emergency_case.role IS 'UZI role code of who broke the glass';
COMMENT ON COLUMN emergency_case.code IS 'the coded reason';
COMMENT ON COLUMN emergency_case.reason IS 'the reason in words';
COMMENT ON COLUMN emergency_case.exchange IS 'what was asked: bgz';
COMMENT ON COLUMN emergency_case.began IS 'when the reason was given, or first seen';
COMMENT ON COLUMN emergency_case.holders IS 'URAs of the organizations that were asked';
COMMENT ON COLUMN emergency_case.opened IS 'whether any of them gave something';
COMMENT ON COLUMN emergency_case.level IS 'level of assurance of the sign-in, as eIDAS writes it';
COMMENT ON COLUMN emergency_case.outcome IS 'what the review found; null: not reviewed yet';
COMMENT ON COLUMN emergency_case.review IS 'what the reviewer wrote';
COMMENT ON COLUMN emergency_case.reviewer IS 'number of who reviewed it, never that of who broke the glass';
COMMENT ON COLUMN emergency_case.reviewer_name IS 'name of who reviewed it';
COMMENT ON COLUMN emergency_case.reviewed IS 'when it was reviewed';
CREATE INDEX emergency_case_open ON emergency_case (organization, began) WHERE outcome IS NULL;
CREATE INDEX emergency_case_patient ON emergency_case (organization, patient, began);

-- Up to which event of the audit log the cases were made.
CREATE TABLE emergency_told (
    organization text PRIMARY KEY,
    seq bigint NOT NULL
);
COMMENT ON COLUMN emergency_told.organization IS 'URA of the organization';
COMMENT ON COLUMN emergency_told.seq IS 'number of the last event that was read';
