"""Whom we believe (canvas area 7): certificates, tokens, agreements."""
