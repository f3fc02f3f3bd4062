"""Faults put in on purpose: lines between nodes that are slow, lossy or cut."""
