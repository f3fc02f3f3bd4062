"""Data conformity (canvas area 4): data stations for sources that cannot yet speak."""
