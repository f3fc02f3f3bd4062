"""Every SQL statement of the record store."""
