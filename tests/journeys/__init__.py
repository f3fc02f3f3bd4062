"""Journeys over a whole network; one network serves those that only use it, and then ends."""
