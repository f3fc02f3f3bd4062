"""Journeys: what people of several organizations do one after another, as data, and their run."""
