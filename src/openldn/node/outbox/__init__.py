"""The outbox: what must reach another party is on disk first, and goes out until it arrived."""
