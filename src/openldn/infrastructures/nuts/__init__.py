"""The road of Nuts: presentations of credentials, and discovery of who takes part."""
