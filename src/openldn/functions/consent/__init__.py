"""Consent: what did the patient choose? Asked by the holder, answered by a registry or locally."""
