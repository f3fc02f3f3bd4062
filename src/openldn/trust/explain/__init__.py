"""Explanations for people: what something is, which checks it passes, and what to do."""
