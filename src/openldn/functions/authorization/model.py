"""Authorization: the facts of one request, as plain data, before any rule looks at them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from urllib.parse import parse_qsl

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn, Ura
from openldn.trust.parties import Requester

Pair = tuple[str, str]  # name and value of a query parameter, decoded

# Say how an answer is cut and written, never what is in it.
FORM = frozenset({"_count", "_format", "_pretty", "_total", "_page"})
INCLUDES = frozenset({"_include", "_revinclude"})
# What can name the one patient of a query.
PATIENTS = frozenset({"identifier", "patient.identifier", "beneficiary.identifier"}) | {
    "subject.identifier",
    "patient:Patient.identifier",
    "subject:Patient.identifier",
    "patient",
    "subject",
    "beneficiary",
}


_ELSEWHERE = PATIENTS - {"identifier"}  # in a search on another type than Patient


class Basis(StrEnum):
    """The ground on which data are disclosed; it decides which consent counts."""

    EXPLICIT = "explicit-consent"
    IMPLIED = "implied-consent"
    EMERGENCY = "emergency"
    PATIENT = "patient-access"


class Consent(StrEnum):
    """What the consent that counts for this basis says."""

    PERMIT = "permit"
    DENY = "deny"
    UNKNOWN = "unknown"  # nobody recorded one, or who should know cannot be reached
    UNASKED = "unasked"  # not asked yet, or the rest denies already


@dataclass(frozen=True)
class Ground:
    """What a legal basis asks of consent."""

    registry: bool  # the registry of consents is asked
    referral: bool  # a local consent bound to the referral is needed
    silence: bool  # no answer may pass
    objection: bool  # an objection may pass


# Source: generic functions §4.5.
GROUNDS = {
    Basis.EXPLICIT: Ground(registry=True, referral=False, silence=False, objection=False),
    Basis.IMPLIED: Ground(registry=False, referral=True, silence=False, objection=False),
    Basis.EMERGENCY: Ground(registry=True, referral=False, silence=True, objection=False),
    Basis.PATIENT: Ground(registry=False, referral=False, silence=True, objection=True),
}


@dataclass(frozen=True)
class AllowedQuery:
    """One row of an exchange's query table: what may be asked, apart from whose it is.

    The values of one parameter are OR-ed and compared as a set, and so are the includes.
    """

    type: str  # "Observation"
    operation: str = ""  # "$lastn"
    fixed: frozenset[tuple[str, frozenset[str]]] = frozenset()  # (name, values)
    includes: frozenset[Pair] = frozenset()  # ("_include", "Coverage:payor:Patient")
    patient: str = "patient.identifier"  # the parameter that names the patient

    @classmethod
    def parse(cls, template: str, patient: str = "") -> "AllowedQuery":
        """The row for `Observation/$lastn?code=a|1,a|2&_include=…`, a query without its patient.

        `patient` is the parameter that names the patient; left out it follows from the type.
        """
        path, _, text = template.partition("?")
        type_, _, operation = path.strip("/").partition("/")
        pairs = parse_qsl(text, keep_blank_values=True)
        return cls(
            type=type_,
            operation=operation,
            fixed=frozenset((n, values_of(v)) for n, v in pairs if n not in INCLUDES | FORM),
            includes=frozenset(p for p in pairs if p[0] in INCLUDES),
            patient=patient or patient_parameter(type_),
        )


def patient_parameter(type_: str) -> str:
    """The parameter that names the patient by BSN in searches on this resource type."""
    special = {"Patient": "identifier", "Coverage": "beneficiary.identifier"}
    return special.get(type_, "patient.identifier")


def values_of(text: str) -> frozenset[str]:
    """The OR-ed values of a parameter; `\\,` is a comma inside a value."""
    if "\\" not in text:
        return frozenset(text.split(","))
    parts, current, escaped = [], "", False
    for sign in text:
        if sign == "," and not escaped:
            parts.append(current)
            current = ""
        else:
            current += sign
        escaped = sign == "\\" and not escaped
    return frozenset([*parts, current])


@dataclass(frozen=True)
class Asked:
    """The request as FHIR: what is done, on what, with which parameters."""

    type: str
    parameters: Sequence[Pair] = field(default=(), repr=False)  # of the URL and of POST _search
    operation: str = ""  # "$lastn"
    interaction: str = "search-type"  # FHIR's code; read, vread, history-type, …

    @property
    def naming(self) -> frozenset[str]:
        """The parameters that name a patient in a search on this type."""
        return PATIENTS if self.type == "Patient" else _ELSEWHERE

    def patients(self) -> list[Pair]:
        """Every parameter that names a patient."""
        return list(self._named)

    def patient(self) -> Bsn | None:
        """The one patient named by BSN, or None when none is named.

        Raises LdnError(forbidden) when more than one is named, or not by a valid BSN.
        Source: generic functions §3.4 step 3.
        """
        return self._patient

    # Looked at again and again while one request is judged; a raised error is not kept.

    @cached_property
    def _named(self) -> tuple[Pair, ...]:
        return tuple((n, v) for n, v in self.parameters if n in self.naming)

    @cached_property
    def _patient(self) -> Bsn | None:
        named = self._named
        if not named:
            return None
        if len(named) > 1 or len(values_of(named[0][1])) > 1:
            raise LdnError(Issue.FORBIDDEN, "more than one patient is named; ask about one")
        name, value = named[0]
        system, bar, number = value.partition("|")
        if not name.endswith("identifier") or not bar or system != BSN_SYSTEM:
            raise LdnError(Issue.FORBIDDEN, f"the patient is not named by BSN ({BSN_SYSTEM}|…)")
        try:
            return Bsn.parse(number)
        except LdnError as error:
            raise LdnError(Issue.FORBIDDEN, f"patient: {error.message}") from error


@dataclass(frozen=True)
class Facts:
    """All a policy may look at for one request; gathered by the enforcement point."""

    requester: Requester  # as the token tells it
    granted: Ura  # the organization whose data the token opens
    holder: Ura  # the organization that is asked
    peer: Ura  # who holds the other end of this connection, by certificate
    known: bool  # the directory knows the requester as an active care provider
    asked: Asked
    allowed: Sequence[AllowedQuery]  # every row of the exchange's releases
    scope: str  # the scope this exchange needs
    purposes: frozenset[str] = frozenset({"TREAT", "ETREAT", "COC", "BTG"})
    basis: Basis = Basis.EXPLICIT
    consent: Consent = Consent.UNKNOWN
    silence: bool = True  # whether who was asked lets an emergency pass without an answer
    unreachable: bool = False  # whether who should know could not be asked
    relation: str = ""  # how the treatment relation was shown: "declared-by-requester"
    now: datetime | None = None  # None: no time is looked at, so no broken glass counts
    closed: frozenset[str] = frozenset()  # types of data that no emergency opens here
    overrules: bool = False  # whether an emergency passes an objection; off unless law says so
