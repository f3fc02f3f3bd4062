"""The technical log: every event stands in the catalogue, with the fields it may carry.

Audit is not here: who saw what of whom is the generic function `functions/audit`.
"""

import logging
import sys
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

import msgspec
import structlog


@dataclass(frozen=True)
class Event:
    """One kind of log line: its level and the fields that may reach the stream."""

    name: str
    level: int
    fields: frozenset[str]
    meaning: str


def _event(name: str, level: int, fields: str, meaning: str) -> Event:
    return Event(name, level, frozenset(fields.split()), meaning)


_REQUEST = (
    "role method route status milliseconds correlation exchange issue detail peer"
    " initialRequestID requestID"
)
_REFUSED = "role issue detail correlation peer"
CATALOGUE = {
    e.name: e
    for e in (
        _event("request", logging.INFO, _REQUEST, "one canonical line per request"),
        _event("started", logging.INFO, "role port version milliseconds", "a role serves"),
        _event("stopped", logging.INFO, "role", "a role ended cleanly"),
        _event("failed", logging.ERROR, "role issue detail correlation", "something broke"),
        _event("refused", logging.WARNING, _REFUSED, "a token was not granted"),
        _event("denied", logging.WARNING, _REFUSED, "a person was not signed in"),
        _event("withdrawn", logging.WARNING, "role holder detail count", "tokens were revoked"),
        _event("published", logging.INFO, "role holder", "own entry stands in the directory"),
        _event("waiting", logging.WARNING, "role part issue detail", "a part is not there yet"),
        _event("insecure", logging.WARNING, "role setting", "a development stand-in is on"),
        _event("unrenewed", logging.WARNING, "role issue detail", "a kept copy was not renewed"),
        _event("renewed", logging.INFO, "role detail", "a new certificate and key are in use"),
        _event("loaded", logging.INFO, "role count milliseconds", "resources were loaded"),
    )
}
_ALWAYS = frozenset({"event", "level", "timestamp"})


_LOGGER: list[Any] = [None]  # made once: finding a logger costs more than writing a line


def _line(logger: Any, method: str, line: MutableMapping[str, Any]) -> str:
    return msgspec.json.encode(line).decode()


def configure(role: str, *, pretty: bool = False) -> None:
    """Send the log to standard error: JSON lines, or colored text on a terminal."""
    render: Any = structlog.dev.ConsoleRenderer() if pretty else _line
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            only_allowed,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    _LOGGER[0] = structlog.get_logger().bind(role=role)
    logging.captureWarnings(True)
    logging.basicConfig(level=logging.ERROR, handlers=[_Foreign()], force=True)


def forget() -> None:
    """Go back to how it was before `configure`."""
    _LOGGER[0] = None


class _Foreign(logging.Handler):
    """What libraries log of themselves: told without its text, which may repeat what was sent."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        emit("failed", issue="exception", detail=f"{record.name} {kind}".strip())


def emit(name: str, **fields: object) -> None:
    """Write one event of the catalogue; an unknown name is a programming error (KeyError)."""
    event = CATALOGUE[name]
    (_LOGGER[0] or structlog.get_logger()).log(event.level, name, **fields)


def only_allowed(
    logger: Any, method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Drop each field that its event may not carry, whoever put it there."""
    event = CATALOGUE.get(str(line.get("event")))
    allowed = _ALWAYS | (event.fields if event else frozenset())
    return {k: v for k, v in line.items() if k in allowed}
