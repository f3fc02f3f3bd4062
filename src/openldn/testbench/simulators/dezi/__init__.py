"""A simulated sign-in provider with a register of people, as Dezi or MAX. TEST only."""
