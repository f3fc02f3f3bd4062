"""The FHIR REST interactions on a record store: one file per interaction."""
