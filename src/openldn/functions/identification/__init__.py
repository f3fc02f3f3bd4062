"""Identification: is this the person, is this the number, may this document be in circulation."""
