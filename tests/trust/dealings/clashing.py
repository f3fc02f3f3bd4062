"""Rules that must never exist together."""

from openldn.trust.trail import Rule

ONE = Rule("clash", "RFC 1", "one")
OTHER = Rule("clash", "RFC 2", "other")
