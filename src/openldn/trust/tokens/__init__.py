"""Access tokens: asking for them, granting them, checking them."""
