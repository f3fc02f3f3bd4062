"""The whole network on one machine: plan, start, watch, load, diagnose."""
