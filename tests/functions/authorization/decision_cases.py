"""Questions to the decision point, and sources that answer as told, for its tests."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

from openldn.base.errors import Issue, LdnError
from openldn.functions.authorization.model import Consent
from openldn.functions.authorization.question import (
    About,
    Context,
    Decision,
    LocalConsent,
    Question,
    Subject,
)
from openldn.functions.authorization.request import HttpRequest
from openldn.functions.authorization.service import DecisionPoint

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)
CLINIC, HOSPITAL = "00000002", "00000001"
JANSEN, PIETERSEN = "999900006", "999911120"
BSN = "http://fhir.nl/fhir/NamingSystem/bsn"
SCT = "http://snomed.info/sct"
FORM = "application/x-www-form-urlencoded"
AWAY = LdnError(Issue.INCOMPLETE, "cannot be reached")


def get(address: str) -> HttpRequest:
    """GET this path and query."""
    path, _, query = address.partition("?")
    return HttpRequest("GET", path, tuple(parse_qsl(query, keep_blank_values=True)))


CONDITION = Question(
    Subject(
        scopes=("bgz",), client="app", organization=CLINIC, user="900012345", roles=("30.000",)
    ),
    get("/Condition?patient=Patient/jansen"),
    Context(holder=HOSPITAL, holder_type="V4"),
)


def asking(address: str, *scopes: str, bsn: str = "", **claims: object) -> Question:
    """The clinic asks this of the hospital."""
    subject = replace(CONDITION.subject, scopes=scopes or ("bgz",), claims=claims)
    context = replace(CONDITION.context, patient_bsn=bsn)
    return Question(subject, get(address), context)


@dataclass
class Register:
    """A PIP: BSNs by patient, consents by resource; it fails when it is told to."""

    bsn: Mapping[str, Sequence[str]] = field(default_factory=lambda: {"jansen": [JANSEN]})
    kept: Mapping[str, Sequence[LocalConsent]] = field(default_factory=dict)
    away: bool = False

    async def bsns(self, patient: str) -> Sequence[str]:
        if self.away:
            raise AWAY
        return self.bsn.get(patient, ())

    async def consents(self, about: About) -> Sequence[LocalConsent]:
        if self.away:
            raise AWAY
        return self.kept.get(about.resource, ())


@dataclass
class Registry:
    """A registry of consents that says this, and remembers of whom it was asked."""

    says: Consent | None = Consent.PERMIT  # None: it cannot be reached
    asked: list[str] = field(default_factory=list)

    async def __call__(self, question: Question, bsn: str) -> Consent:
        self.asked.append(bsn)
        if self.says is None:
            raise AWAY
        return self.says


def decided(
    question: Question,
    says: Consent | None = Consent.PERMIT,
    register: Register | None = None,
    registry: Registry | None = None,
    change: Callable[[DecisionPoint], DecisionPoint] = lambda point: point,
) -> Decision:
    """What our decision point says."""
    point = DecisionPoint(lambda: NOW, register or Register(), registry or Registry(says))
    return asyncio.run(change(point).decide(question))


def codes(decision: Decision) -> list[tuple[str, str]]:
    return [(r.code.value, r.rule) for r in decision.reasons]


def consent(scope: str = "eoverdracht", **more: object) -> LocalConsent:
    """A local consent of the clinic that counts now."""
    given = LocalConsent(
        scope, True, frozenset({CLINIC}), start=NOW - timedelta(days=1), end=NOW + timedelta(days=1)
    )
    return replace(given, **more)  # type: ignore[arg-type]
