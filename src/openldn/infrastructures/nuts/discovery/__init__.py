"""Discovery of Nuts parties: who registered for a service, by a presentation of their own.

Source: Nuts RFC022, Discovery Service.
"""
