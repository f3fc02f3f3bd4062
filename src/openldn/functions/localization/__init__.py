"""Localization: which care providers hold data of a patient, told by an index without BSNs."""
