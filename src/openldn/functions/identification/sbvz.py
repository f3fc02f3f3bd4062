"""The messages of SBV-Z, both sides of them: SOAP 1.1 as its web service of March 2021 has it.

The message form of the document check is not public, so that it is not here.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from lxml import etree

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn, ReadBsn
from openldn.functions.identification.model import FIELDS, Answer, Outcome, Person
from openldn.trust.saml.xml import Element, attribute, children, only, parse, text
from openldn.trust.trail import Rule, Trail

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
NAMESPACE = "http://CIBG.SBV.Interface.XIS.Webservice/mrt21"
ACTION = f"{NAMESPACE}/OpvragenVerifieren"
MEDIA_TYPE = "text/xml; charset=utf-8"
FOUND, VERIFIED = "23002", "2003"  # codes of the message that goes with success
NOBODY, SEVERAL = "23001", "23006"

FORM = Rule("sbvz.form", "SBV-Z web service, March 2021", "an answer of the agreed form")

# Field of Person -> element; in the order of the message.
_PERSON = {
    "given": "Voornamen",
    "initial": "Voorletter",
    "prefix": "VoorvoegselGeslachtsnaam",
    "surname": "Geslachtsnaam",
    "born": "Geboortedatum",
    "birthplace": "Geboorteplaats",
    "sex": "Geslachtsaanduiding",
}
_ADDRESS = {
    "town": "GemeenteVanInschrijving",
    "street": "Straatnaam",
    "house_number": "Huisnummer",
    "house_letter": "Huisletter",
    "house_addition": "Huisnummertoevoeging",
    "postal_code": "Postcode",
}
_RESULTS = {"G": Outcome.FITS, "A": Outcome.DIFFERS, "F": Outcome.NONE}
_LETTERS = {outcome: letter for letter, outcome in _RESULTS.items()}
_EXAMINED = ("Persoon", "Adres", "Overlijden")
_RESTRICTED = "Er is een beperking op de gegevensverstrekking van toepassing"
_OPEN = "Geen beperking"
_TEXTS = {
    FOUND: "BSN gevonden",
    VERIFIED: "Verificatie gelukt",
    NOBODY: "Geen resultaat gevonden",
    SEVERAL: "Vraag heeft niet tot een persoon geleid",
}


@dataclass(frozen=True)
class Question:
    """A question as it comes in at the register; without a BSN one is sought."""

    person: Person
    bsn: Bsn | None
    reference: str  # of who asks; comes back in the answer


def question(asked: Question) -> bytes:
    """The envelope of a question; empty elements are left out."""
    root, message = _envelope("OpvragenVerifieren", "OpvragenVerifierenVraagBericht")
    _fill(_add(message, "Vraag"), asked.person, asked.bsn, {})
    _add(message, "LokaalKenmerk", asked.reference)
    return _written(root)


def read_question(content: bytes, read_bsn: ReadBsn) -> Question:
    """The question in this envelope; raises LdnError(invalid)."""
    trail = Trail(issue=Issue.INVALID)
    message = _message(content, "OpvragenVerifieren", "OpvragenVerifierenVraagBericht", trail)
    asked = only(message, _name("Vraag"), FORM, trail)
    number = _value(asked, "Persoon", "BSN")
    bsn = read_bsn(number) if number else None
    return Question(_person(asked), bsn, _said(message, "LokaalKenmerk"))


def answer(found: Answer, reference: str) -> bytes:
    """The envelope of an answer, as the register writes it."""
    root, message = _envelope("OpvragenVerifierenResponse", "OpvragenVerifierenAntwoordBericht")
    if found.person is not None:
        flags = {name: name in found.differing for name in FIELDS}
        said = _add(message, "Antwoord")
        _fill(said, found.person, found.bsn, flags)
        if found.examined:
            _add(_own(said, "Persoon"), "AanduidingGegevensInOnderzoekPersoon", "in onderzoek")
        _add(_add(said, "Inschrijving"), "IndicatieGeheim", _RESTRICTED if found.secret else _OPEN)
        if found.deceased:
            _add(_add(said, "Overlijden"), "DatumOverlijden", "00000000")
    _add(message, "Resultaat", _LETTERS[found.outcome])
    for code in found.codes:
        told = _add(message, "Melding", _TEXTS.get(code, code))
        told.set("Soort", "F" if found.outcome is Outcome.NONE else "G")
        told.set("Code", code)
    _add(message, "LokaalKenmerk", reference)
    return _written(root)


def read_answer(content: bytes, reference: str, read_bsn: ReadBsn) -> Answer:
    """The answer to our question with this reference.

    Raises LdnError(incomplete) for one of another form, to another question, or that says it
    found somebody without saying whom; nothing of it is repeated.
    """
    trail = Trail(issue=Issue.INCOMPLETE)
    try:
        message = _message(
            content, "OpvragenVerifierenResponse", "OpvragenVerifierenAntwoordBericht", trail
        )
        trail.require(_said(message, "LokaalKenmerk") == reference, FORM, "another reference")
        outcome = _RESULTS.get(_said(message, "Resultaat"))
        codes = tuple(attribute(m, "Code")[:5] for m in children(message, _name("Melding"))[:20])
        said = children(message, _name("Antwoord"))
        trail.require(outcome is not None and bool(codes), FORM, "result")
        trail.require(len(said) == (0 if outcome is Outcome.NONE else 1), FORM, "answer")
        if outcome is None or outcome is Outcome.NONE:
            return Answer(Outcome.NONE, codes=codes)
        return _found(said[0], outcome, codes, read_bsn)
    except LdnError as error:
        text = "the register of people gives an answer we do not understand; its operator's turn"
        raise LdnError(Issue.INCOMPLETE, text, detail=error.detail or FORM.code) from error


def _found(said: Element, outcome: Outcome, codes: tuple[str, ...], read_bsn: ReadBsn) -> Answer:
    differing = {
        name
        for group, fields in (("Persoon", _PERSON), ("Adres", _ADDRESS))
        for name, element in fields.items()
        for node in _nodes(said, group, element)
        if attribute(node, "Afwijkend") in {"true", "1"}
    }
    examined = any(
        _nodes(said, group, f"AanduidingGegevensInOnderzoek{group}") for group in _EXAMINED
    )
    return Answer(
        outcome=outcome,
        bsn=read_bsn(_value(said, "Persoon", "BSN")),
        person=_person(said),
        differing=frozenset(differing),
        examined=examined,
        secret=_value(said, "Inschrijving", "IndicatieGeheim") not in {"", _OPEN},
        deceased=bool(_nodes(said, "Overlijden", "DatumOverlijden")),
        codes=codes,
    )


def _person(node: Element) -> Person:
    values = {name: _value(node, "Persoon", element) for name, element in _PERSON.items()}
    values |= {name: _value(node, "Adres", element) for name, element in _ADDRESS.items()}
    return Person(**values)


def _fill(node: Element, person: Person, bsn: Bsn | None, flags: Mapping[str, bool]) -> None:
    about = _add(node, "Persoon")
    if bsn is not None:
        _add(about, "BSN", bsn.value)
    _fields(about, person, _PERSON, flags)
    if any(getattr(person, name) for name in _ADDRESS):
        _fields(_add(node, "Adres"), person, _ADDRESS, flags)


def _fields(
    node: Element, person: Person, elements: Mapping[str, str], flags: Mapping[str, bool]
) -> None:
    for name, element in elements.items():
        if value := getattr(person, name):
            added = _add(node, element, value)
            if flags:
                added.set("Afwijkend", "true" if flags[name] else "false")


def _message(content: bytes, operation: str, name: str, trail: Trail) -> Element:
    root = parse(content, trail)
    trail.require(root.tag == f"{{{SOAP}}}Envelope", FORM)
    body = only(root, f"{{{SOAP}}}Body", FORM, trail)
    trail.require(not children(body, f"{{{SOAP}}}Fault"), FORM, "fault")
    return only(only(body, _name(operation), FORM, trail), _name(name), FORM, trail)


def _envelope(operation: str, name: str) -> tuple[Element, Element]:
    root = etree.Element(f"{{{SOAP}}}Envelope", nsmap={"soap": SOAP})
    body = etree.SubElement(root, f"{{{SOAP}}}Body")
    said = etree.SubElement(body, _name(operation), nsmap={"sbv": NAMESPACE})
    return root, etree.SubElement(said, _name(name))


def _written(root: Element) -> bytes:
    return etree.tostring(root, encoding="utf-8", xml_declaration=True)


def _add(node: Element, name: str, value: str = "") -> Element:
    added = etree.SubElement(node, _name(name))
    added.text = value or None
    return added


def _own(node: Element, name: str) -> Element:
    return children(node, _name(name))[0]


def _nodes(node: Element, group: str, name: str) -> list[Element]:
    return [n for g in children(node, _name(group))[:1] for n in children(g, _name(name))]


def _value(node: Element, group: str, name: str) -> str:
    found = _nodes(node, group, name)
    return text(found[0])[:200] if len(found) == 1 else ""


def _said(node: Element, name: str) -> str:
    found = children(node, _name(name))
    return text(found[0]) if len(found) == 1 else ""


def _name(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"
