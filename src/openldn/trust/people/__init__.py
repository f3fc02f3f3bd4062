"""Who the person is: statements of Dezi, sign-in by OpenID Connect, levels of assurance."""
