"""Notified pull: an offer is told, accepted or refused, and its data are fetched.

The harmonized form: the sender hosts a Coordination Task, the receiver hears of each change by
number and answers by changing the Task (gericht beschikbaarstellen).
"""
