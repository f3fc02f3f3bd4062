"""Authentication: the gateway in front of national services, and the tokens it gives."""
