"""Many holders' answers become one coherent, explained, safe set; nothing is kept."""
