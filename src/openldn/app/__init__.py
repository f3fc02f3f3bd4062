"""The composition root: the only room that knows which implementation goes where.

A module per role, loaded when that role is asked for: a process holds what its own role needs.
"""

import ssl
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from openldn.base.settings import Settings


@dataclass(frozen=True)
class Served:
    """An application and where it listens."""

    app: Any  # ASGI
    host: str
    port: int
    context: ssl.SSLContext | None = None  # None: plain HTTP


Build = Callable[[Any], AbstractAsyncContextManager[tuple[Served, ...]]]


@dataclass(frozen=True)
class Role:
    """What one process of the network can be."""

    settings: type[Settings]
    build: Build  # given its settings: everything it needs, for as long as it serves


ROLES = (
    "node",
    "addressing",
    "authority",
    "authorization",
    "broker",
    "consent",
    "functions",
    "gateway",
    "localization",
    "portal",
    "pseudonyms",
    "simulators",
    "transformation",
)


def role_of(name: str) -> Role:
    """One of `ROLES`; each has a module here with that name and its `ROLE`."""
    found: Role = import_module(f"openldn.app.{name}").ROLE
    return found
