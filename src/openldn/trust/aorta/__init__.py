"""AORTA, the network of the LSP: its headers, metadata and tokens."""
