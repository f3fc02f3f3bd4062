"""What an explanation consists of."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from cryptography import x509

from openldn.base.errors import LdnError
from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Bsn
from openldn.trust.certificates import Anchors
from openldn.trust.documents import Documents
from openldn.trust.explain.detect import Sort
from openldn.trust.peers import Profile
from openldn.trust.trail import FAIL, Check

NOT_REACHED = "not reached"
_NUMBER = re.compile(r"(?<![0-9A-Za-z])[0-9]{9}(?![0-9A-Za-z])")
_LONGEST = 300  # characters of one value that is shown

Ask = Callable[[str], Awaitable[Mapping[str, Any] | None]]


@dataclass(frozen=True)
class Sources:
    """What an explanation may look things up in."""

    anchors: Anchors
    profile: Profile
    clock: Clock
    documents: Documents | None = None  # None: nothing is fetched
    introspect: Ask | None = None  # what an opaque token stands for
    trail: Ask | None = None  # how the broker came to a jti
    broker: str = ""  # issuer URL of the broker that is believed; empty: none
    # issuer of SAML -> the certificates that are pinned for it; others: the anchors
    pinned: Mapping[str, tuple[x509.Certificate, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Explanation:
    """What something is, whether it is believed, and what to do."""

    sort: Sort
    facts: tuple[tuple[str, str], ...] = field(repr=False)  # key of a label -> value
    act: tuple[str, ...]  # who acted in between, nearest first
    checks: tuple[Check, ...] = field(repr=False)
    believed: bool
    ends: datetime | None = None

    @property
    def first_failure(self) -> Check | None:
        """The check that a verifier would have stopped at."""
        return next((c for c in self.checks if c.outcome == FAIL), None)


def masked(text: str) -> str:
    """The text in which no BSN can be read, of a length that can be shown, on one line."""
    hidden = _NUMBER.sub(lambda m: "*********" if _is_bsn(m.group()) else m.group(), text)
    plain = "".join(c if c.isprintable() else " " for c in hidden)
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]} …"


def _is_bsn(text: str) -> bool:
    try:
        Bsn.parse(text)
    except LdnError:
        return False
    return True
