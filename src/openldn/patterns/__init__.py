"""The traffic rules (canvas area 5): the communication patterns."""
