"""Whether one organization can reach another for an exchange, step by step, and who must act."""
