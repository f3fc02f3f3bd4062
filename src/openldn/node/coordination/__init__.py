"""Both sides of a notified pull at one node: what we offer others, and what is offered to us."""
