"""Pseudonyms: who a patient is to one recipient, without telling anyone else."""
