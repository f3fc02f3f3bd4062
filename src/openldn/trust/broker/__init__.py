"""The broker: turns the proof of one infrastructure into one that another believes."""
