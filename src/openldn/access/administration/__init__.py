"""The door for operators: which keys end, who is refused and why, and what to do about it."""
