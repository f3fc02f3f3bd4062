"""The connection record: what two parties agreed on one connection, as data.

It is the practical form of what NEN 7512 asks: a risk class, strength of identification, the
channel, and the evidence that is kept. A public host is checked only with one.
"""

from datetime import date as Day
from pathlib import Path
from typing import Literal

import msgspec

from openldn.base.errors import Issue, LdnError


class Agreement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which agreement, and until when it counts."""

    version: str
    date: Day
    signers: tuple[str, ...]
    until: Day


class ConnectionRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One connection as agreed."""

    host: str
    parties: tuple[str, ...]
    exchange: str
    pattern: str
    risk: Literal["low", "medium", "high"]
    identification: str  # the least: of organization, system and person
    channel: Literal["closed", "open", "end-to-end"]
    profile: str  # of TLS
    evidence: str  # signatures, tokens and audit records, and how long they are kept
    agreement: Agreement
    ura: str = ""  # of the organization at the other end
    renegotiation: bool = False  # one TLS 1.2 renegotiation is agreed (Zorgplatform)


def load(path: Path, host: str, today: Day) -> ConnectionRecord:
    """The record of this host; raises LdnError(invalid) when it is of another, or has ended.

    Health data across organizations is never of low risk.
    """
    try:
        found = msgspec.toml.decode(path.read_bytes(), type=ConnectionRecord)
    except OSError as error:
        raise LdnError(Issue.INVALID, f"--record {path}: {error.strerror}") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LdnError(Issue.INVALID, f"--record {path}: {error}") from error
    if found.host.lower() != host.lower():
        raise LdnError(Issue.INVALID, f"--record {path} is of {found.host}, not of {host}")
    if found.agreement.until < today:
        text = f"--record {path}: the agreement ended on {found.agreement.until}; renew it first"
        raise LdnError(Issue.INVALID, text)
    if found.risk == "low":
        text = f"--record {path}: health data between organizations is never of low risk"
        raise LdnError(Issue.INVALID, text)
    return found
