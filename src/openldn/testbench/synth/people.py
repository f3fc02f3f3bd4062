"""Fictitious people: names, addresses and BSNs that pass the check and belong to nobody."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from random import Random

from openldn.fhir.identifiers import BSN_SYSTEM, Bsn
from openldn.fhir.model import Resource

OWN_NAME = "http://hl7.org/fhir/StructureDefinition/humanname-own-name"
QUALIFIER = "http://hl7.org/fhir/StructureDefinition/iso21090-EN-qualifier"
STREET = "http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-streetName"
HOUSE = "http://hl7.org/fhir/StructureDefinition/iso21090-ADXP-houseNumber"

FIRST = 999900000  # the range of the national test sets begins here
FAMILIES = (
    "Jansen", "De Vries", "Van den Berg", "Bakker", "Visser", "Smit", "Meijer", "Mulder", "Bos",
    "Vos", "Peters", "Hendriks", "Dekker", "Brouwer", "Dijkstra", "Kok", "Yilmaz", "El Amrani",
    "Nguyen", "Kowalski", "Van Leeuwen", "Hoekstra", "Willems", "Postma",
)  # fmt: skip
WOMEN = (
    "Johanna", "Maria", "Anna", "Elisabeth", "Cornelia", "Fatima", "Emma", "Sanne", "Lotte",
    "Willemijn", "Aaltje", "Noor", "Sofie", "Ingrid", "Hendrika",
)  # fmt: skip
MEN = (
    "Johannes", "Pieter", "Willem", "Hendrik", "Mohammed", "Daan", "Sem", "Bram", "Lucas", "Jan",
    "Gerrit", "Kees", "Thijs", "Ruben", "Mehmet",
)  # fmt: skip
TOWNS = (
    ("Utrecht", "3511"), ("Zwolle", "8011"), ("Assen", "9401"), ("Breda", "4811"),
    ("Middelburg", "4331"), ("Arnhem", "6811"), ("Leeuwarden", "8911"), ("Venlo", "5911"),
)  # fmt: skip
STREETS = ("Dorpsstraat", "Kerkweg", "Molenlaan", "Stationsplein", "Beukenlaan", "Zonnehof")


@dataclass(frozen=True)
class Person:
    """A fictitious citizen; `key` begins the ids of everything about them."""

    key: str
    bsn: Bsn
    given: str
    family: str
    gender: str  # FHIR AdministrativeGender
    born: date
    town: str
    postcode: str
    street: str
    number: int

    @property
    def display(self) -> str:
        """How a reference calls this person."""
        return f"{self.given[0]}. {self.family}"


def bsns(start: int = FIRST) -> Iterator[Bsn]:
    """Every number from `start` on that passes the 11-check."""
    for number in range(start, 1_000_000_000):
        digits = [int(d) for d in f"{number:09d}"]
        weights = (9, 8, 7, 6, 5, 4, 3, 2, -1)
        if sum(w * d for w, d in zip(weights, digits, strict=True)) % 11 == 0:
            yield Bsn.parse(f"{number:09d}")


def person(random: Random, key: str, bsn: Bsn, today: date) -> Person:
    """Somebody between 1 and 95 years old."""
    gender = random.choice(("female", "male"))
    town, digits = random.choice(TOWNS)
    letters = "".join(random.choice("ABCDEGHJKLMNPRTVWXZ") for _ in range(2))
    return Person(
        key=key,
        bsn=bsn,
        given=random.choice(WOMEN if gender == "female" else MEN),
        family=random.choice(FAMILIES),
        gender=gender,
        born=date(today.year - random.randint(1, 95), random.randint(1, 12), random.randint(1, 28)),
        town=town,
        postcode=f"{digits} {letters}",
        street=random.choice(STREETS),
        number=random.randint(1, 180),
    )


def demographics(someone: Person) -> Resource:
    """The elements of the zib Patient (nl-core-patient, STU3) that are about the person."""
    return {
        "identifier": [{"use": "official", "system": BSN_SYSTEM, "value": someone.bsn.value}],
        "active": True,
        "name": [_name(someone)],
        "telecom": [{"system": "phone", "value": f"+3185{someone.number:07d}", "use": "home"}],
        "gender": someone.gender,
        "birthDate": someone.born.isoformat(),
        "deceasedBoolean": False,
        "address": [_address(someone)],
    }


def _name(someone: Person) -> Resource:
    return {
        "use": "official",
        "text": f"{someone.given} {someone.family}",
        "family": someone.family,
        "_family": {"extension": [{"url": OWN_NAME, "valueString": someone.family}]},
        "given": [someone.given],
        "_given": [{"extension": [{"url": QUALIFIER, "valueCode": "BR"}]}],
    }


def _address(someone: Person) -> Resource:
    return {
        "use": "home",
        "type": "both",
        "line": [f"{someone.street} {someone.number}"],
        "_line": [
            {
                "extension": [
                    {"url": STREET, "valueString": someone.street},
                    {"url": HOUSE, "valueString": str(someone.number)},
                ]
            }
        ],
        "city": someone.town,
        "postalCode": someone.postcode,
        "country": "Nederland",
    }
