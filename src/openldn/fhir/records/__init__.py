"""The record store: FHIR resources of one holder in PostgreSQL, with history and search."""
