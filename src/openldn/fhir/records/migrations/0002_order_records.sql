-- Pages of a type come in order of arrival.
CREATE INDEX record_type_rid ON record (holder, fhir, type, rid) WHERE body IS NOT NULL;
