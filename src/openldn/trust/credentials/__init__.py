"""Verifiable credentials: identifiers, credentials, presentations, status, the wallet."""
