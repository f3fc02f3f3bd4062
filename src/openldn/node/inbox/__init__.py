"""The inbox: what came in before is known, and what is missing too."""
