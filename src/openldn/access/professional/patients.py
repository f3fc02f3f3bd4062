"""Whom the answer is about: the header of every page, and the warnings when identities differ."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date

from openldn.access.professional.readers import Library, at, codes, key_of, shown, text_of
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn
from openldn.fhir.model import Resource

_BSN_SYSTEMS = frozenset({BSN_SYSTEM, "urn:oid:2.16.840.1.113883.2.4.6.3"})
_OWN = ("subject", "patient", "beneficiary", "for")


@dataclass(frozen=True)
class Identity:
    """The patient as the holder knows them, and what does not fit the question."""

    name: str = field(default="", repr=False)
    birth_date: str = field(default="", repr=False)
    age: int | None = None
    gender: str = ""  # FHIR code
    deceased: str = ""  # a date, or yes; empty when not said
    details: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # (key of label, text)
    warnings: tuple[str, ...] = ()  # keys of texts
    found: bool = False


_DETAILS = (
    ("address", "address"),
    ("contact", "telecom"),
    ("marital_status", "maritalStatus"),
    ("language", "communication.language"),
    ("practitioner", "generalPractitioner"),
    ("holder_organization", "managingOrganization"),
)


def identity(shelf: Library, resources: Sequence[Resource], bsn: Bsn, today: date) -> Identity:
    """The patient of these resources; without a Patient only the warnings that still hold."""
    patients = [r for r in resources if r.get("resourceType") == "Patient"]
    warnings = tuple(_warnings(patients, resources, bsn))
    if not patients:
        return Identity(warnings=warnings)
    patient = patients[0]
    born = "".join(text_of(v) for v in at(patient, "birthDate")[:1])
    dead = shown(shelf, at(patient, "deceased[x]")[:1])
    return Identity(
        name=_official_name(shelf, patient),
        birth_date=born,
        age=None if _deceased(patient) else _age(born, today),
        gender="".join(c for v in at(patient, "gender")[:1] for c in codes(v)),
        deceased=dead if _deceased(patient) else "",
        details=tuple(
            (key, text) for key, path in _DETAILS if (text := shown(shelf, at(patient, path)))
        ),
        warnings=warnings,
        found=True,
    )


def contact_persons(patients: Sequence[Resource]) -> list[Resource]:
    """The contacts inside Patient as RelatedPerson resources, to be shown with the others.

    Source: nl-core-patient (STU3) keeps contact persons in Patient.contact.
    """
    return [
        {**contact, "resourceType": "RelatedPerson", "id": f"{text_of(p.get('id'))}.contact.{n}"}
        for p in patients
        for n, contact in enumerate(at(p, "contact"))
        if isinstance(contact, dict)
    ]


def _official_name(shelf: Library, patient: Resource) -> str:
    names = at(patient, "name")
    official = [n for n in names if "official" in map(text_of, at(n, "use"))]
    return shown(shelf, (official or names)[:1])


def _deceased(patient: Resource) -> bool:
    return any(value is not False for value in at(patient, "deceased[x]"))


def _age(born: str, today: date) -> int | None:
    try:
        day = date.fromisoformat(born)
    except ValueError:
        return None
    years = today.year - day.year - ((today.month, today.day) < (day.month, day.day))
    return years if years >= 0 else None


def _warnings(
    patients: Sequence[Resource], resources: Sequence[Resource], bsn: Bsn
) -> Iterator[str]:
    known = {key_of(p) for p in patients}
    if len(known) > 1:
        yield "patient.warning.several"
    numbers = {n for p in patients for n in _numbers(p)}
    if numbers - {bsn.value}:
        yield "patient.warning.bsn_differs"
    if patients and not numbers:
        yield "patient.warning.bsn_absent"
    if known and any(_subjects(r) - known for r in resources):
        yield "patient.warning.other_subject"


def _numbers(patient: Resource) -> Iterator[str]:
    for identifier in at(patient, "identifier"):
        if isinstance(identifier, dict) and text_of(identifier.get("system")) in _BSN_SYSTEMS:
            yield text_of(identifier.get("value"))


def _subjects(resource: Resource) -> set[str]:
    """The patients that this resource says it is about, as `Patient/id`."""
    references = [text_of(r) for path in _OWN for r in at(resource, f"{path}.reference")]
    parts = [r.partition("/_history")[0].split("/") for r in references]
    return {"/".join(p[-2:]) for p in parts if p[-2:-1] == ["Patient"]}
