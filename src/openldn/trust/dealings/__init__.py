"""What went on between an organization and its peers lately: refusals, and when tokens passed."""
