"""The door for professionals: sign in, ask another provider for a patient's data, read it."""
