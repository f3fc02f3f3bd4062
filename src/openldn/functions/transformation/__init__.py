"""Transformation: the same facts in the other FHIR version, and what was lost on the way."""
