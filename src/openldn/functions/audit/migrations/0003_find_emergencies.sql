-- Who tells patients of an emergency reads on from where they were.
CREATE INDEX audit_event_emergency ON audit_event (holder, seq) WHERE tag = 'emergency-started';
