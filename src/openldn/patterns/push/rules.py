"""What a receiver takes, as a table of rules over the facts of a Bundle.

Each rule has a code, which stands in the refusal. Source: exchange patterns §8; what it leaves
open is decided here: docs/decisions/0026.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from openldn.base.errors import Issue
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn
from openldn.patterns.push.facts import Fact, Parcel, conditional

MOST_TOLD = 20  # findings of one refusal
TRANSACTION, BATCH, DOCUMENT = "transaction", "batch", "document"


@dataclass(frozen=True)
class Terms:
    """What one receiver takes of one use case, and about whom."""

    patient: Bsn = field(repr=False)  # of the token
    forms: tuple[str, ...] = (TRANSACTION,)
    creates: frozenset[str] = frozenset()  # resource types
    most_entries: int = 2000
    most_bytes: int = 64 * 1024 * 1024
    most_entry_bytes: int = 16 * 1024 * 1024


@dataclass(frozen=True)
class Finding:
    """One thing that is against a rule: which, where and why; never a value."""

    code: str
    issue: Issue
    text: str
    where: str = ""
    place: int = -1  # of the entry; -1: the Bundle as a whole


Told = Iterator[tuple[str, str, int]]  # words, element, place of the entry
Look = Callable[[Parcel, Terms], Told]


@dataclass(frozen=True)
class Rule:
    """One rule: its code, what its breach is in FHIR, and who looks."""

    code: str
    issue: Issue
    look: Look


def _in(fact: Fact, below: str = "") -> str:
    return f"Bundle.entry[{fact.place}]" + (f".{below}" if below else "")


def _form(parcel: Parcel, terms: Terms) -> Told:
    if parcel.form not in terms.forms:
        text = f"this use case takes a Bundle of type {' or '.join(terms.forms)}"
        yield text, "Bundle.type", -1


def _bounds(parcel: Parcel, terms: Terms) -> Told:
    if not 0 < len(parcel.facts) <= terms.most_entries:
        yield f"it has 1 to {terms.most_entries} entries; send less at once", "Bundle.entry", -1
    if parcel.size > terms.most_bytes:
        yield f"it has at most {terms.most_bytes} bytes; send less at once", "Bundle", -1
    for fact in parcel.facts:
        if fact.size > terms.most_entry_bytes:
            text = f"an entry has at most {terms.most_entry_bytes} bytes"
            yield text, _in(fact), fact.place


def _types(parcel: Parcel, terms: Terms) -> Told:
    for fact in parcel.facts:
        if fact.type not in terms.creates:
            text = "resources of this type are not taken in this use case"
            yield text, _in(fact, "resource"), fact.place


def _creates(parcel: Parcel, terms: Terms) -> Told:
    """Each entry creates one resource, and only if none has its identifier yet."""
    for fact in parcel.facts if parcel.form != DOCUMENT else ():
        if fact.method != "POST" or fact.url != fact.type or fact.extra:
            text = "each entry is a POST to its own resource type, without further conditions"
            yield text, _in(fact, "request"), fact.place
        elif not _identified(fact):
            text = "ifNoneExist is identifier=system|value, with an identifier of the resource"
            yield text, _in(fact, "request.ifNoneExist"), fact.place


def _identified(fact: Fact) -> bool:
    if fact.condition is None or len(fact.condition) != 1:
        return False
    name, text = fact.condition[0]
    system, bar, value = text.partition("|")
    whole = bool(system and bar and value) and "," not in text
    return name == "identifier" and whole and (system, value) in fact.identifiers


def _addresses(parcel: Parcel, terms: Terms) -> Told:
    seen: set[str] = set()
    for fact in parcel.facts:
        urn = fact.full_url.startswith(("urn:uuid:", "urn:oid:"))
        if not (urn or (parcel.form == DOCUMENT and fact.base)):
            yield (
                "each entry has a fullUrl of its own, urn:uuid:…",
                _in(fact, "fullUrl"),
                fact.place,
            )
        elif fact.full_url in seen:
            yield "two entries have the same fullUrl", _in(fact, "fullUrl"), fact.place
        seen.add(fact.full_url)


def _references(parcel: Parcel, terms: Terms) -> Told:
    """What is referred to comes along, or is named by an identifier; nothing leads elsewhere."""
    known = {f.full_url for f in parcel.facts}
    for fact in parcel.facts:
        for reference in sorted(fact.references):
            if known.isdisjoint(fact.targets(reference)):
                type_, query = conditional(reference)
                if parcel.form == DOCUMENT or type_ == "Patient" or not _by_identifier(query):
                    text = "a reference leads out of the Bundle; send along what it refers to"
                    yield text, _in(fact, "resource"), fact.place
                    break


def _by_identifier(query: str) -> bool:
    name, _, text = query.partition("=")
    return name == "identifier" and "&" not in query and "|" in text.replace("%7C", "|")


def _alone(parcel: Parcel, terms: Terms) -> Told:
    if parcel.form == BATCH:
        others = {f.full_url for f in parcel.facts} - _patients(parcel)
        for fact in parcel.facts:
            if others & fact.references - {fact.full_url}:
                text = "an entry of a batch stands alone; send what belongs together as transaction"
                yield text, _in(fact, "resource"), fact.place


def _patients(parcel: Parcel) -> set[str]:
    return {f.full_url for f in parcel.facts if f.type == "Patient"}


def _patient(parcel: Parcel, terms: Terms) -> Told:
    """One Patient, with the BSN of the token; no other BSN stands anywhere."""
    found = [f for f in parcel.facts if f.type == "Patient"]
    if len(found) != 1:
        yield "there is exactly one Patient", "Bundle.entry", -1
    for fact in parcel.facts:
        own = {value for system, value in fact.identifiers if system == BSN_SYSTEM}
        if fact.type == "Patient" and own != {terms.patient.value}:
            text = "the Patient is not the one of the token"
            yield text, _in(fact, "resource.identifier"), fact.place
        elif fact.bsns - {terms.patient.value}:
            text = "another person is named by BSN; leave that number out"
            yield text, _in(fact, "resource"), fact.place
        elif fact.type == "Patient" and parcel.form != DOCUMENT:
            yield from _by_bsn(fact, terms)


def _by_bsn(fact: Fact, terms: Terms) -> Told:
    if fact.condition != (("identifier", f"{BSN_SYSTEM}|{terms.patient.value}"),):
        text = "the Patient is created only if nobody has this BSN: ifNoneExist names it"
        yield text, _in(fact, "request.ifNoneExist"), fact.place


def _subjects(parcel: Parcel, terms: Terms) -> Told:
    patients = _patients(parcel)
    for fact in parcel.facts:
        if fact.clinical and not fact.about:
            yield "it does not say whom it is about", _in(fact, "resource"), fact.place
        for reference in sorted(fact.about):
            if patients.isdisjoint(fact.targets(reference)):
                text = "what is about a patient is about the Patient of this Bundle"
                yield text, _in(fact, "resource"), fact.place
                break


def _document(parcel: Parcel, terms: Terms) -> Told:
    if parcel.form != DOCUMENT:
        return
    if not parcel.facts or parcel.facts[0].type != "Composition":
        yield "the first entry of a document is its Composition", "Bundle.entry[0]", 0
    elif not parcel.facts[0].about:
        yield "the Composition says whom it is about", "Bundle.entry[0].resource.subject", 0
    if any(f.method for f in parcel.facts):
        yield "an entry of a document asks for nothing", "Bundle.entry", -1
    if not parcel.identifier or not parcel.timestamp:
        yield "a document has an identifier and a timestamp", "Bundle", -1


RULES: tuple[Rule, ...] = (
    Rule("form", Issue.NOT_SUPPORTED, _form),
    Rule("bounds", Issue.TOO_LONG, _bounds),
    Rule("type", Issue.NOT_SUPPORTED, _types),
    Rule("create", Issue.BUSINESS_RULE, _creates),
    Rule("address", Issue.INVALID, _addresses),
    Rule("reference", Issue.BUSINESS_RULE, _references),
    Rule("batch", Issue.BUSINESS_RULE, _alone),
    Rule("patient", Issue.FORBIDDEN, _patient),
    Rule("subject", Issue.BUSINESS_RULE, _subjects),
    Rule("document", Issue.STRUCTURE, _document),
)
# Reasons that no rule over the content gives.
OTHER_REASONS = (
    "exchange",
    "sender",
    "purpose",
    "structure",
    "digest",
    "reused",
    "policy",
    "store",
)


def findings(parcel: Parcel, terms: Terms) -> list[Finding]:
    """What is against the rules, in their order; an empty list: it may be taken."""
    told = (
        Finding(rule.code, rule.issue, text, where, place)
        for rule in RULES
        for text, where, place in rule.look(parcel, terms)
    )
    return list(islice(told, MOST_TOLD))


def split(parcel: Parcel, terms: Terms) -> tuple[list[Finding], dict[int, Finding]]:
    """What is against the whole of a batch, and what against single entries, by their place.

    Of another form everything is against the whole: it is taken as it is, or not.
    """
    if parcel.form != BATCH:
        return findings(parcel, terms), {}
    whole: list[Finding] = []
    single: dict[int, Finding] = {}
    for rule in RULES:
        for text, where, place in rule.look(parcel, terms):
            finding = Finding(rule.code, rule.issue, text, where, place)
            if place < 0 or rule.code == "patient":
                whole.append(finding)
            else:
                single.setdefault(place, finding)
    return whole[:MOST_TOLD], single
