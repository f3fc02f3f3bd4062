"""The checks of a connection: one table, CHECKS."""

from importlib.resources import files

import msgspec

from openldn.testbench.connection.checks import (
    certificate,
    channel,
    data,
    infrastructure,
    mtls,
    oauth,
    web,
)
from openldn.testbench.connection.model import Check, Words

GROUPS = ("channel", "certificate", "mtls", "web", "oauth", "data", "infrastructure")


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    group: str
    source: str
    title: Words
    requirement: Words
    advice: Words


def _table() -> tuple[Check, ...]:
    """Every check: its words from the data, its function from the module of its group."""
    content = (files(__package__) / "words.toml").read_bytes()
    rows = msgspec.toml.decode(content, type=dict[str, _Row])
    modules = (channel, certificate, mtls, web, oauth, data, infrastructure)
    looks = {id: look for module in modules for id, look in module.LOOKS.items()}
    return tuple(
        Check(id, row.group, row.source, row.title, row.requirement, row.advice, looks[id])
        for id, row in sorted(rows.items())
    )


CHECKS = _table()
