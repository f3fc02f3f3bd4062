"""Push at a node: sending Bundles to others, and taking or refusing theirs."""
