"""JSON and XML of FHIR, both ways, lossless, checked against the official definitions."""
