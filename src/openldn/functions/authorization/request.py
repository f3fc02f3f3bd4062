"""A request over HTTP, read as FHIR: which interaction on what, with which parameters.

Source: generic functions §3.4 steps 2 and 3; hl7.org/fhir/R4/http.html.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import BSN_SYSTEM

Pair = tuple[str, str]
Groups = tuple[tuple[str, ...], ...]  # each repeat of a parameter (AND) with its values (OR)

FORM = "application/x-www-form-urlencoded"
LARGEST = 64 * 1024  # characters of a query or form that are read
MOST = 200  # parameters in one request
# Taken out before a policy looks: they say how an answer is cut and written.
GENERAL = frozenset(
    "_format _pretty _summary _elements _sort _count _total _contained _containedType".split()
)
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,63}")
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_OPERATION = re.compile(r"\$[a-z\-.]+")
_PARTS = {"[type]": _TYPE, "[id]": _ID, "[vid]": _ID, "[operation]": _OPERATION}
# Method, path and FHIR's code of the interaction; the first that fits counts.
ROWS: tuple[tuple[str, str, str], ...] = (
    ("GET", "metadata", "capabilities"),
    ("GET", "_history", "history-system"),
    ("GET", "[operation]", "operation"),
    ("POST", "[operation]", "operation"),
    ("GET", "[type]", "search-type"),
    ("POST", "[type]/_search", "search-type"),
    ("GET", "[type]/_history", "history-type"),
    ("GET", "[type]/[operation]", "operation"),
    ("POST", "[type]/[operation]", "operation"),
    ("GET", "[type]/[id]", "read"),
    ("GET", "[type]/[id]/_history", "history-instance"),
    ("GET", "[type]/[id]/_history/[vid]", "vread"),
    ("GET", "[type]/[id]/[operation]", "operation"),
    ("POST", "[type]/[id]/[operation]", "operation"),
    ("POST", "[type]", "create"),
    ("PUT", "[type]/[id]", "update"),
    ("PUT", "[type]", "update"),
    ("PATCH", "[type]/[id]", "patch"),
    ("PATCH", "[type]", "patch"),
    ("DELETE", "[type]/[id]", "delete"),
    ("DELETE", "[type]", "delete"),
    ("GET", "", "search-system"),
    ("POST", "", "transaction"),
)


@dataclass(frozen=True)
class HttpRequest:
    """What was sent to the holder, below its FHIR base."""

    method: str
    path: str  # "/Condition"
    query: Sequence[Pair] = field(default=(), repr=False)  # decoded
    content_type: str = ""
    body: str = field(default="", repr=False)


@dataclass(frozen=True)
class FhirRest:
    """The same as FHIR."""

    interaction: str  # FHIR's code: "search-type"
    type: str = ""
    id: str = ""
    version: str = ""
    operation: str = ""  # "$lastn"
    search: Mapping[str, Groups] = field(default_factory=dict, repr=False)
    include: tuple[str, ...] = ()
    revinclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Named:
    """The patient that a request names; empty where it does not."""

    id: str = ""  # of the resource Patient at the holder
    bsn: str = field(default="", repr=False)


def parse_request(request: HttpRequest) -> FhirRest:
    """What is asked, as FHIR.

    Raises LdnError: not-supported for a method and path that are no FHIR interaction, invalid for
    a form that cannot be read.
    """
    interaction, parts = _row(request)
    pairs = list(request.query)
    if request.method == "POST" and interaction in {"search-type", "operation"}:
        pairs += _form(request, interaction)
    if len(pairs) > MOST:
        raise LdnError(Issue.INVALID, f"more than {MOST} parameters; send fewer")
    search: dict[str, Groups] = {}
    for name, value in pairs:
        if name not in GENERAL | {"_include", "_revinclude"}:
            search[name] = (*search.get(name, ()), split_or(value))
    return FhirRest(
        interaction,
        type=parts.get("[type]", ""),
        id=parts.get("[id]", ""),
        version=parts.get("[vid]", ""),
        operation=parts.get("[operation]", ""),
        search=search,
        include=tuple(v for n, v in pairs if n == "_include"),
        revinclude=tuple(v for n, v in pairs if n == "_revinclude"),
    )


def _row(request: HttpRequest) -> tuple[str, dict[str, str]]:
    path = request.path.removeprefix("/").removesuffix("?")
    given = path.split("/") if path else []
    for method, row, interaction in ROWS:
        pattern = row.split("/") if row else []
        if method == request.method and len(pattern) == len(given):
            pairs = list(zip(pattern, given, strict=True))
            if all(_fits(p, g) for p, g in pairs):
                return interaction, dict(pairs)
    raise LdnError(Issue.NOT_SUPPORTED, "this method and path are no interaction of FHIR")


def _fits(pattern: str, given: str) -> bool:
    rule = _PARTS.get(pattern)
    return bool(rule.fullmatch(given)) if rule else pattern == given


def _form(request: HttpRequest, interaction: str) -> list[Pair]:
    kind = request.content_type.partition(";")[0].strip().lower()
    if kind == FORM:
        return pairs_of(request.body)
    if request.body and interaction == "search-type":
        raise LdnError(Issue.INVALID, f"the parameters of a search are sent as {FORM}")
    return []


def pairs_of(text: str) -> list[Pair]:
    """The parameters of a query string or form; raises LdnError(invalid) for what is none."""
    if len(text) > LARGEST:
        raise LdnError(Issue.INVALID, f"the query is longer than {LARGEST} characters")
    if not text.isascii():
        raise LdnError(Issue.INVALID, "the query is not percent-encoded")
    pairs = []
    for part in text.split("&"):
        name, _, value = part.partition("=")
        if part:
            pairs.append((decoded(name), decoded(value)))
    return pairs


def decoded(text: str) -> str:
    """Without percent-encoding; raises LdnError(invalid) when that is broken or not UTF-8."""
    if re.search(r"%(?![0-9A-Fa-f]{2})", text):
        raise LdnError(Issue.INVALID, "the percent-encoding of the query is broken")
    try:
        return unquote_plus(text, errors="strict")
    except UnicodeDecodeError as error:
        raise LdnError(Issue.INVALID, "the query is not UTF-8") from error


def split_or(value: str) -> tuple[str, ...]:
    """The values of one parameter; a backslash makes a comma part of a value."""
    return tuple(re.split(r"(?<!\\),", value))


def patient_of(rest: FhirRest) -> Named:
    """The one patient that the request is about, as far as it says.

    Raises LdnError(invalid) when it names several, names one twice, or names a BSN in another
    way than by its system. Source: generic functions §3.4 step 3 (rules Z07, Z08, Z09).
    """
    if "patient" in rest.search and "subject" in rest.search:
        raise LdnError(Issue.INVALID, "patient and subject are both given; name the patient once")
    reference = _reference(rest, "patient") or _reference(rest, "subject")
    if rest.type != "Patient":
        return Named(reference)
    if rest.id:
        return Named(rest.id)
    by_id = _one(rest, "_id").removeprefix("Patient/")
    if by_id and reference and by_id != reference:
        raise LdnError(Issue.INVALID, "_id and patient name two patients")
    return Named(by_id or reference, _bsn(rest))


def _one(rest: FhirRest, name: str) -> str:
    groups = rest.search.get(name, ())
    if len(groups) > 1 or any(len(values) > 1 for values in groups):
        raise LdnError(Issue.INVALID, f"the parameter {name} has several values; give one")
    return groups[0][0] if groups else ""


def _reference(rest: FhirRest, name: str) -> str:
    """The id of the patient in a reference parameter; nothing for a subject that is no patient."""
    value = _one(rest, name)
    *before, id_ = value.split("/")
    if before and before[-1] != "Patient":
        if name == "subject":
            return ""
        raise LdnError(Issue.INVALID, "the parameter patient refers to something else")
    if value and not _ID.fullmatch(id_):
        raise LdnError(Issue.INVALID, f"the parameter {name} is no reference to a patient")
    return id_


def _bsn(rest: FhirRest) -> str:
    given = _one(rest, "identifier")
    if not given:
        return ""
    system, bar, value = given.partition("|")
    if system != BSN_SYSTEM or not bar or not value or "|" in value:
        raise LdnError(Issue.INVALID, f"a patient is searched by {BSN_SYSTEM}|…")
    return value
