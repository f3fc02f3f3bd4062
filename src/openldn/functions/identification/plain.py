"""The same questions and answers as JSON, for a service of an organization itself."""

from collections.abc import Mapping
from typing import Any

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn, ReadBsn
from openldn.functions.identification.model import FIELDS, Answer, Outcome, Person


def question(person: Person, bsn: Bsn | None = None) -> dict[str, Any]:
    """What is asked; what is not known is left out."""
    said = {name: value for name in FIELDS if (value := getattr(person, name))}
    return {"person": said} | ({"bsn": bsn.value} if bsn else {})


def read_question(told: object, read_bsn: ReadBsn) -> tuple[Person, Bsn | None]:
    """What is asked; raises LdnError(invalid)."""
    values = told if isinstance(told, dict) else {}
    number = values.get("bsn", "")
    try:
        person = msgspec.convert(values.get("person"), Person)
    except msgspec.ValidationError as error:
        raise LdnError(Issue.INVALID, "the person cannot be read; check the fields") from error
    return person, read_bsn(str(number)) if number else None


def answer(found: Answer) -> dict[str, Any]:
    """What is answered."""
    told: dict[str, Any] = {"outcome": found.outcome.value, "codes": list(found.codes)}
    if found.bsn is None or found.person is None:
        return told
    flags = {"examined": found.examined, "secret": found.secret, "deceased": found.deceased}
    return told | question(found.person, found.bsn) | {"differing": sorted(found.differing)} | flags


def read_answer(told: object, read_bsn: ReadBsn) -> Answer:
    """The answer; raises LdnError(incomplete) for one of another form."""
    try:
        outcome = Outcome(_mapping(told).get("outcome", ""))
        codes = msgspec.convert(_mapping(told).get("codes", []), tuple[str, ...])
        if outcome is Outcome.NONE:
            return Answer(Outcome.NONE, codes=codes)
        person, bsn = read_question(told, read_bsn)
        differing = msgspec.convert(_mapping(told).get("differing", []), frozenset[str])
    except (ValueError, LdnError) as error:
        raise unintelligible() from error
    if bsn is None:
        raise unintelligible()
    flags = {n: _mapping(told).get(n) is True for n in ("examined", "secret", "deceased")}
    return Answer(outcome, bsn, person, differing, codes=codes, **flags)


def read_verdict(told: object) -> bool:
    """Whether a document may be in circulation; raises LdnError(incomplete)."""
    found = _mapping(told).get("in_circulation")
    if not isinstance(found, bool):
        raise unintelligible()
    return found


def unintelligible() -> LdnError:
    """The answer is of another form; nothing of it is repeated."""
    text = "the register of people gives an answer we do not understand; its operator's turn"
    return LdnError(Issue.INCOMPLETE, text, detail="persons: answer")


def _mapping(told: object) -> Mapping[str, Any]:
    return told if isinstance(told, dict) else {}
