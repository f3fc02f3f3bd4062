"""Searching: parameters of the specification, parsing a request, keys of a resource."""
