"""The dialects at a node: offers of parties that do not speak the harmonized form, both ways."""
