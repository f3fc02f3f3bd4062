"""Simulated parties: real HTTP, own keys, faults on command, a log of what happened. TEST only."""
