"""Fictitious patients: coherent, Dutch, reproducible; nobody real, no real BSN."""
