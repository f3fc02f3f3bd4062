"""A stand-in for Mitz in tests: its closed question, its subscriptions and its notifications."""
