"""Trials: the network on a laptop, synthetic patients, simulators, reports."""
