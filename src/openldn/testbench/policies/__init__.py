"""Are our policies those that were agreed? The same cases through our tables and through Rego."""
