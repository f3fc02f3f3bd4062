"""What every door has in common: words, page frame and look, sessions, the way to the nodes."""
