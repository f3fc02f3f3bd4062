"""What is wrong with a node, most urgent first: pure reading of what the node tells."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

ALERT, CAUTION, INFO = "alert", "caution", "info"
_ORDER = {ALERT: 0, CAUTION: 1, INFO: 2}
US, PEER = "us", "peer"
URGENT_DAYS, SOON_DAYS = 7, 30
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Finding:
    """One thing to do something about; its words stand in the catalog under its keys."""

    level: str  # alert: it fails or will within days; caution: look at it; info: as it should
    what: str  # key of the sentence, with `values` filled in
    turn: str  # us, peer
    step: str  # key of the next step
    page: str  # where to read more; empty: not here
    values: Mapping[str, object] = field(default_factory=dict)
    correlation: str = ""  # of the latest, to give to another party
    query: str = ""  # narrows that page to this


def findings(trust: Row, lately: Sequence[Row]) -> list[Finding]:
    """Everything that needs somebody, most urgent first."""
    found = [
        *_keys(rows(trust, "keys")),
        *_credentials(rows(trust, "credentials")),
        *_missing(trust.get("reasons")),
        *_documents(rows(trust, "documents")),
        *_refusals(lately),
    ]
    if trust.get("waiting"):
        found.append(Finding(CAUTION, "waiting", US, "review", "", {"count": trust["waiting"]}))
    if trust.get("undelivered"):
        values = {"count": trust["undelivered"]}
        found.append(Finding(CAUTION, "undelivered", US, "undelivered", "outbox", values))
    if trust.get("lost"):
        values = {"count": trust["lost"]}
        found.append(Finding(CAUTION, "lost", US, "store", "refusals", values))
    # what fails already comes before what will
    return sorted(found, key=lambda f: (_ORDER[f.level], f.what.endswith(".soon")))


def verdict(found: Sequence[Finding]) -> str:
    """The worst level there is: alert, caution, or ok; a policy that says no is nothing wrong."""
    return found[0].level if found and found[0].level != INFO else "ok"


def rows(value: Row, name: str) -> list[Row]:
    """The objects in a list of what the node told; whatever else stands there is left out."""
    listed = value.get(name)
    return [r for r in listed if isinstance(r, dict)] if isinstance(listed, list) else []


def _keys(keys: Iterable[Row]) -> Iterable[Finding]:
    levels = {"ended": ALERT, "urgent": ALERT, "unreadable": ALERT, "soon": CAUTION}
    for key in keys:
        values = {"use": key.get("use", ""), "days": abs(int(key.get("days") or 0))}
        if (key.get("revocation") or {}).get("state") == "revoked":
            yield Finding(ALERT, "key.revoked", US, "renew", "keys", values)
            continue
        state = str(key.get("level"))
        if level := (levels | {"future": CAUTION}).get(state):
            step = "clock" if state == "future" else "file" if state == "unreadable" else "renew"
            what = f"key.{'soon' if state == 'urgent' else state}"
            yield Finding(level, what, US, step, "keys", values)


def _credentials(credentials: Iterable[Row]) -> Iterable[Finding]:
    for credential in credentials:
        days = credential.get("days")
        values = {"type": credential.get("type", ""), "days": abs(int(days or 0))}
        if credential.get("status") == "revoked":
            yield Finding(ALERT, "credential.revoked", US, "credential", "credentials", values)
        elif isinstance(days, int) and days < SOON_DAYS:
            level = ALERT if days < URGENT_DAYS else CAUTION
            what = "credential.ended" if days < 0 else "credential.soon"
            yield Finding(level, what, US, "credential", "credentials", values)


def _missing(reasons: object) -> Iterable[Finding]:
    told = reasons if isinstance(reasons, dict) else {}
    if "peers" in told:
        yield Finding(ALERT, "directory", US, "directory", "peers")
    if "refusals" in told:
        yield Finding(ALERT, "store", US, "store", "refusals")


def _documents(documents: Iterable[Row]) -> Iterable[Finding]:
    levels = {"ended": ALERT, "failed": ALERT, "serving": CAUTION}
    for document in documents:
        state = str(document.get("state"))
        if state in levels:
            values = {"what": document.get("what", ""), "host": document.get("host", "")}
            yield Finding(levels[state], f"document.{state}", US, "document", "documents", values)


def _refusals(lately: Sequence[Row]) -> Iterable[Finding]:
    """One finding for each peer, reason and direction; ours weigh more than those of others."""

    def about(row: Row) -> tuple[str, ...]:
        return tuple(str(row.get(k, "")) for k in ("direction", "peer", "code"))

    latest: dict[tuple[str, ...], Row] = {}
    for row in lately:  # newest first
        latest.setdefault(about(row), row)
    for key, count in Counter(map(about, lately)).most_common():
        row = latest[key]
        turn = US if row.get("turn") == US else PEER
        advice = row.get("advice")
        step = str(advice.get("key", "other")) if isinstance(advice, dict) else "other"
        values = {
            "count": count,
            "peer": key[1],
            "code": key[2],
            "rule": row.get("rule", ""),
            "moment": row.get("moment", ""),
        }
        level = INFO if step == "policy" else ALERT if turn == US else CAUTION
        what = f"refused.{'out' if key[0] == 'out' else 'in'}"
        correlation = str(row.get("correlation", ""))
        query = "?" + urlencode(dict(zip(("direction", "peer", "code"), key, strict=True)))
        yield Finding(level, what, turn, f"advice.{step}", "refusals", values, correlation, query)
