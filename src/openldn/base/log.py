"""The technical log: every event stands in the catalogue, with the fields it may carry.

Audit is not here: who saw what of whom is the generic function `functions/audit`.
"""

import asyncio
import logging
import sys
import threading
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, TextIO

import msgspec
import structlog

from openldn.base.runtime import utc_now

PUBLIC, APP, SIEM = "public", "app", "siem"  # who reads a stream: inspectors, us, security


@dataclass(frozen=True)
class Event:
    """One kind of log line: its level and the fields that may reach the stream.

    An event with `streams` is written once to each, with the fields that stream may have.
    """

    name: str
    level: int
    fields: frozenset[str]
    meaning: str
    streams: Mapping[str, frozenset[str]] = field(default_factory=dict)
    grave: int = 0  # the level when it is told as grave; 0 = it has one level


def _event(name: str, level: int, fields: str, meaning: str) -> Event:
    return Event(name, level, frozenset(fields.split()), meaning)


def _streamed(
    name: str, level: int, meaning: str, *, grave: int = 0, **streams: str
) -> tuple[str, Event]:
    """An event of a national service, with the fields each stream may carry."""
    allowed = {s: frozenset(f"role {fields}".split()) for s, fields in streams.items()}
    together = frozenset[str]().union(*allowed.values())
    return name, Event(name, level, together, meaning, allowed, grave)


_REQUEST = (
    "role method route status milliseconds correlation exchange issue detail peer"
    " initialRequestID requestID"
)
_REFUSED = "role issue detail correlation peer"
_DECIDED = "role correlation shape allow policies detail"
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
        _event("decided", logging.INFO, _DECIDED, "the decision point answered a question"),
        _event("undelivered", logging.WARNING, "role peer kind issue", "a message was given up"),
        _event("silent", logging.WARNING, "role peer since", "a placer was not heard of in time"),
        _event("untold", logging.WARNING, "role issue detail count", "a subscriber kept silent"),
        _event("emergency", logging.WARNING, "role side case peer", "the glass was broken"),
        _event("destroyed", logging.INFO, "role count", "secrets of pseudonyms ended"),
        _event("copied", logging.INFO, "role detail count", "a directory was followed to its end"),
        _event("loaded", logging.INFO, "role count milliseconds", "resources were loaded"),
    )
}
_WHO = "organization ura_number pseudonym_hash"
_OINS = "handelende_oin namens_oin doel_oin"
_ROW = "exception_type table column value_length column_limit"
_BASE = "error_type retry_attempt backoff_seconds"
_ENDED = "shutdown_reason last_exception_type"
_KEYS = "oprf_secret_versie ontvanger_pubkey_id"
_HEALTH = "component status"
_DENIED = "ura_number resource_ura"
_FAILED = "ura_number http_status error_reason"
# Source: event ids and fields of the ministry's localization and pseudonym services (NVI, PRS).
OPERATIONAL = dict(
    (
        _streamed("094500", logging.INFO, "a request came in", app="endpoint method"),
        _streamed(
            *("900400", logging.INFO, "a record was registered"), public=_WHO, app="ura_number"
        ),
        _streamed("900401", logging.INFO, "it was registered already", app="ura_number"),
        _streamed(
            *("900402", logging.INFO, "a record was read by its id"), public=_WHO, app="ura_number"
        ),
        _streamed("900403", logging.INFO, "records were queried", app="ura_number result_count"),
        _streamed(
            *("900404", logging.WARNING, "a registration failed"),
            app=f"{_FAILED} endpoint",
            siem=_FAILED,
        ),
        _streamed(
            *("900405", logging.WARNING, "access was denied"),
            app=f"{_DENIED} endpoint",
            siem=_DENIED,
        ),
        _streamed(*("900500", logging.INFO, "a record was deleted"), public=_WHO, app="ura_number"),
        _streamed(
            *("900501", logging.WARNING, "all records of a patient were deleted"),
            public=f"{_WHO} deleted_count",
            app="ura_number deleted_count",
            siem="ura_number deleted_count",
        ),
        _streamed(
            *("900503", logging.CRITICAL, "all records of an organization were deleted"),
            public="organization ura_number deleted_count",
            app="ura_number deleted_count",
            siem="ura_number deleted_count",
        ),
        _streamed(
            *("900600", logging.INFO, "a localization found holders"),
            public=_WHO,
            app="ura_number pseudonym_hash",
            siem="ura_number result_count",
        ),
        _streamed(
            *("900601", logging.WARNING, "a localization failed"),
            grave=logging.ERROR,
            app="ura_number error_reason http_status",
            siem="ura_number error_reason http_status",
        ),
        _streamed(
            "900602", logging.INFO, "a localization found nobody", app="ura_number result_count"
        ),
        _streamed("001000", logging.INFO, "a request came in", app="endpoint method"),
        _streamed(
            *("210400", logging.INFO, "an evaluation succeeded"),
            app=f"{_OINS} {_KEYS}",
            siem=_OINS,
        ),
        _streamed(
            *("210402", logging.ERROR, "an evaluation failed"),
            app=f"{_OINS} error_type endpoint",
            siem=f"{_OINS} error_type",
        ),
        _streamed(
            *("210403", logging.WARNING, "refused: the recipient has no active key"),
            app=f"{_OINS} endpoint",
            siem="handelende_oin doel_oin",
        ),
        _streamed(
            *("270406", logging.CRITICAL, "the key module cannot be reached"),
            app="error_reason retry_attempt",
            siem="error_reason",
        ),
        _streamed(
            *("270407", logging.ERROR, "a request came without correlation id"),
            app="endpoint method",
            siem="endpoint method",
        ),
        _streamed(
            *("bulk", logging.WARNING, "an organization asks more in a minute than it may"),
            app="part peer count",
            siem="part peer count",
        ),
        _streamed("100605", logging.ERROR, "the tables are not as expected", app=_ROW),
        *(
            row
            for unhealthy, started, stopped, away, fault in (
                ("100600", "100601", "100602", "100603", "100604"),
                ("270400", "270401", "270402", "270403", "270404"),
            )
            for row in (
                _streamed(
                    *(unhealthy, logging.ERROR, "a part is not healthy"),
                    app=f"{_HEALTH} error_detail",
                    siem=_HEALTH,
                ),
                _streamed(
                    *(started, logging.INFO, "the service started"),
                    app="version config_path crypto_service_api_enabled",
                ),
                _streamed(
                    *(stopped, logging.INFO, "the service stopped, or (grave) crashed"),
                    grave=logging.CRITICAL,
                    app=_ENDED,
                    siem="shutdown_reason",
                ),
                _streamed(
                    *(away, logging.ERROR, "the database cannot be reached"),
                    app=_BASE,
                    siem="error_type",
                ),
                _streamed(
                    *(fault, logging.ERROR, "something broke that nobody foresaw"),
                    app="exception_type endpoint method",
                    siem="exception_type endpoint method",
                ),
            )
        ),
    )
)
CATALOGUE |= OPERATIONAL
_ALWAYS = frozenset({"event", "level", "timestamp"})


_LOGGER: list[Any] = [None]  # made once: finding a logger costs more than writing a line
_LINES: "list[_Lines | None]" = [None]  # how JSON lines are written in production


@dataclass(frozen=True)
class _Lines:
    """Writes JSON lines as the chain of structlog would, in a fifth of its time."""

    role: str
    file: TextIO
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def write(self, event: Event, level: int, fields: Mapping[str, object]) -> None:
        """One line, or one for each stream of the event, in one go."""
        moment = utc_now().isoformat()[:-6] + "Z"
        told = {"role": self.role, **fields}
        always = {"event": event.name, "level": _LEVELS[level], "timestamp": moment}
        lines = []
        for stream, allowed in event.streams.items() or (("", event.fields),):
            line = {k: v for k, v in told.items() if k in allowed}
            if stream:
                line["stream"] = stream
            line.update(always)
            lines.append(_ENCODER.encode(line))
        text = b"\n".join(lines).decode() + "\n"
        with self.lock:
            self.file.write(text)
            self.file.flush()


_LEVELS = {
    logging.INFO: "info",
    logging.WARNING: "warning",
    logging.ERROR: "error",
    logging.CRITICAL: "critical",
}
_ENCODER = msgspec.json.Encoder()


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
    _LINES[0] = None if pretty else _Lines(role, sys.stderr)
    logging.captureWarnings(True)
    logging.basicConfig(level=logging.ERROR, handlers=[_Foreign()], force=True)


def forget() -> None:
    """Go back to how it was before `configure`."""
    _LOGGER[0] = _LINES[0] = None


class _Foreign(logging.Handler):
    """What libraries log of themselves: told without its text, which may repeat what was sent."""

    def emit(self, record: logging.LogRecord) -> None:
        kind = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else ""
        emit("failed", issue="exception", detail=f"{record.name} {kind}".strip())


def emit(name: str, **fields: object) -> None:
    """Write one event of the catalogue; an unknown name is a programming error (KeyError).

    What has streams is written once to each, marked with `stream`.
    """
    _emit(CATALOGUE[name], CATALOGUE[name].level, fields)


def emit_grave(name: str, **fields: object) -> None:
    """Write one event at its graver level: a crash where a stop is usual."""
    _emit(CATALOGUE[name], CATALOGUE[name].grave, fields)


def ended(task: "asyncio.Task[Any]") -> None:
    """Tell at once that work which should go on for ever broke off; for `add_done_callback`."""
    if not task.cancelled() and (error := task.exception()) is not None:
        work = getattr(task.get_coro(), "__qualname__", "")
        emit("failed", issue="exception", detail=f"{work} {type(error).__qualname__}".strip())


def _emit(event: Event, level: int, fields: Mapping[str, object]) -> None:
    if _LINES[0] is not None:
        _LINES[0].write(event, level, fields)
        return
    logger, name = _LOGGER[0] or structlog.get_logger(), event.name
    if not event.streams:
        logger.log(level, name, **fields)
    for stream in event.streams:
        logger.log(level, name, stream=stream, **fields)


def only_allowed(
    logger: Any, method: str, line: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Drop each field that its event may not carry, whoever put it there."""
    event = CATALOGUE.get(str(line.get("event")))
    allowed = _ALWAYS | (event.fields if event else frozenset())
    if event is not None and event.streams:
        allowed = _ALWAYS | {"stream"} | event.streams.get(str(line.get("stream")), frozenset())
    return {k: v for k, v in line.items() if k in allowed}
