"""The connection checker: what an endpoint offers and refuses, against a TLS profile."""
