"""One fictitious patient at many organizations that copy each other, with the truth beside it.

Everything that happened is told by one organization; others hold copies (with the identifier),
tell the same on their own (without it), or tell something that only looks like it. The truth
says which statements are the same, which may be, and which contradict each other.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from openldn.fhir.identifiers import BSN_SYSTEM, URA_SYSTEM
from openldn.fhir.model import Resource, bundle

_SCT, _LOINC, _UCUM = "http://snomed.info/sct", "http://loinc.org", "http://unitsofmeasure.org"
_CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"
_BEGIN = datetime(2015, 1, 5, 7, 0, tzinfo=UTC)
_ANALYTES = (
    ("2823-3", "mmol/L"),
    ("2951-2", "mmol/L"),
    ("14682-9", "umol/L"),
    ("14749-6", "mmol/L"),
)
_SCALED = {"mmol/L": ("umol/L", 1000), "umol/L": ("mmol/L", Decimal("0.001"))}
_HOURS = (timedelta(0), timedelta(hours=1), timedelta(hours=2))


@dataclass
class Truth:
    """What is so; statements go by "URA Type/id"."""

    same: list[list[str]] = field(default_factory=list)  # of two and more
    possible: list[list[str]] = field(default_factory=list)  # pairs
    contrary: list[list[str]] = field(default_factory=list)  # pairs
    allergies: list[str] = field(default_factory=list)  # active ones, which must show
    doses: int = 0


@dataclass
class Crowd:
    """The answers of the organizations, by URA, and the truth."""

    bsn: str
    answers: dict[str, Resource]
    truth: Truth


def crowd(resources: int, sources: int, seed: int, bsn: str = "999911120") -> Crowd:
    """About so many resources of one patient at so many organizations; the seed decides all."""
    return _Making(sources, seed, bsn).all(resources)


class _Making:
    def __init__(self, sources: int, seed: int, bsn: str) -> None:
        self.chance, self.bsn = random.Random(seed), bsn  # noqa: S311  (nobody's secret)
        self.uras = [f"{90000100 + n}" for n in range(sources)]
        self.held: dict[str, list[Resource]] = {ura: [self._patient()] for ura in self.uras}
        self.truth, self.count = Truth(), 0

    def all(self, resources: int) -> Crowd:
        makers = [maker for maker, weight in _KINDS for _ in range(weight)]
        while self.count < resources:
            self._event(self.chance.choice(makers))
        for held in self.held.values():
            self.chance.shuffle(held)
        answers = {ura: bundle("collection", held) for ura, held in self.held.items()}
        return Crowd(self.bsn, answers, self.truth)

    def _event(self, maker: Callable[[int, random.Random], Resource]) -> None:
        number = self.count
        told = maker(number, self.chance)
        home, *others = self.chance.sample(self.uras, min(4, len(self.uras)))
        told["identifier"] = [*told.get("identifier", ()), _number(home, number)]
        told |= _by(told, home)
        first = self._hold(home, told)
        same = [first]
        roll = self.chance.random()
        if roll < 0.30:
            copies = others[: self.chance.randint(1, max(1, len(others)))]
            same += [self._hold(ura, _varied(told, self.chance)) for ura in copies]
        elif roll < 0.36 and others:
            self._twin(first, told, others[0])
        elif roll < 0.40 and others:
            self._other(first, told, others[0])
        if len(same) > 1:
            self.truth.same.append(sorted(same))
        if told["resourceType"] == "AllergyIntolerance":
            self.truth.allergies.append(first)
        self.truth.doses += told["resourceType"] == "Immunization"

    def _twin(self, first: str, told: Resource, ura: str) -> None:
        """The same, told anew by another: it has its own number, and may be the same."""
        twin = _varied(told, self.chance)
        kind = twin["resourceType"]
        if kind in {"Encounter", "ImagingStudy", "DocumentReference", "MedicationRequest"}:
            return
        twin["identifier"] = [_number(ura, self.count)]
        twin |= _by(twin, ura)
        twin.pop("lotNumber", None)
        self.truth.possible.append(sorted([first, self._hold(ura, twin)]))

    def _other(self, first: str, told: Resource, ura: str) -> None:
        """What looks like it and is not."""
        change = _CHANGES.get(told["resourceType"])
        if change is None:
            return
        other = {**told, **change(told), "identifier": [_number(ura, self.count)]}
        second = self._hold(ura, other)
        if told["resourceType"] == "Observation":
            self.truth.contrary.append(sorted([first, second]))
        self.truth.doses += told["resourceType"] == "Immunization"

    def _hold(self, ura: str, told: Resource) -> str:
        self.count += 1
        own = f"{told['resourceType'][:3].lower()}-{self.count}"
        self.held[ura].append({**told, "id": own})
        return f"{ura} {told['resourceType']}/{own}"

    def _patient(self) -> Resource:
        return {
            "resourceType": "Patient",
            "id": "p",
            "identifier": [{"system": BSN_SYSTEM, "value": self.bsn}],
            "birthDate": "1951-07-02",
            "gender": "female",
        }


def _number(ura: str, number: int) -> Resource:
    assigner = {"identifier": {"system": URA_SYSTEM, "value": ura}}
    return {
        "system": f"urn:oid:2.16.840.1.113883.2.4.3.11.999.{ura}",
        "value": f"N{number:06}",
        "assigner": assigner,
    }


def _by(told: Resource, ura: str) -> Resource:
    who = {"identifier": {"system": URA_SYSTEM, "value": ura}, "display": "A care provider"}
    place = {
        "Observation": "performer",
        "Condition": "recorder",
        "AllergyIntolerance": "recorder",
        "Encounter": "serviceProvider",
        "DocumentReference": "custodian",
        "MedicationRequest": "requester",
    }.get(told["resourceType"], "")
    return {place: [who] if place == "performer" else who} if place else {}


def _coded(code: str, system: str = _SCT, display: str = "") -> Resource:
    coding = {"system": system, "code": code, "display": display or f"concept {code}"}
    return {"coding": [coding], "text": display or f"concept {code}"}


def _at(number: int) -> datetime:
    return _BEGIN + timedelta(minutes=37 * number)


def _start(name: str, number: int, **more: Any) -> Resource:
    meta = {"lastUpdated": (_at(number) + timedelta(hours=3)).isoformat(), "versionId": "1"}
    profile = f"http://nictiz.nl/fhir/StructureDefinition/nl-core-{name}"
    return {
        "resourceType": name,
        "meta": {**meta, "profile": [profile]},
        **more,
    }


_PATIENT = {"reference": "Patient/p", "type": "Patient", "display": "Patient"}


def _laboratory(number: int, chance: random.Random) -> Resource:
    code, unit = chance.choice(_ANALYTES)
    value = Decimal(chance.randint(20, 99)) / 10
    return _start(
        "Observation",
        number,
        status="final",
        category=[_coded("laboratory", _CATEGORY)],
        code=_coded(code, _LOINC, "Analyte"),
        subject=_PATIENT,
        effectiveDateTime=_at(number).isoformat(),
        valueQuantity={"value": value, "unit": unit, "system": _UCUM, "code": unit},
        referenceRange=[{"low": {"value": Decimal("1.0")}, "high": {"value": Decimal("9.9")}}],
    )


def _pressure(number: int, chance: random.Random) -> Resource:
    def part(code: str, value: int) -> Resource:
        unit = {"unit": "mmHg", "system": _UCUM, "code": "mm[Hg]"}
        return {"code": _coded(code, _LOINC), "valueQuantity": {"value": value, **unit}}

    return _start(
        "Observation",
        number,
        status="final",
        category=[_coded("vital-signs", _CATEGORY)],
        code=_coded("85354-9", _LOINC, "Blood pressure"),
        subject=_PATIENT,
        effectiveDateTime=_at(number).isoformat(),
        component=[
            part("8480-6", chance.randint(100, 180)),
            part("8462-4", chance.randint(50, 99)),
        ],
    )


def _problem(number: int, chance: random.Random) -> Resource:
    status = "http://terminology.hl7.org/CodeSystem/condition-clinical"
    site = _coded(chance.choice(("7771000", "24028007")))
    return _start(
        "Condition",
        number,
        clinicalStatus=_coded("active", status),
        code=_coded(f"9{number:06}", display="A problem"),
        bodySite=[site],
        subject=_PATIENT,
        onsetDateTime=_at(number).date().isoformat(),
        recordedDate=_at(number).isoformat(),
    )


def _allergy(number: int, chance: random.Random) -> Resource:
    status = "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical"
    return _start(
        "AllergyIntolerance",
        number,
        clinicalStatus=_coded("active", status),
        code=_coded(f"8{number:06}", display="A substance"),
        patient=_PATIENT,
        criticality=chance.choice(("low", "high")),
        recordedDate=_at(number).isoformat(),
    )


def _procedure(number: int, chance: random.Random) -> Resource:
    return _start(
        "Procedure",
        number,
        status="completed",
        code=_coded(f"7{number:06}", display="A procedure"),
        subject=_PATIENT,
        performedDateTime=_at(number).date().isoformat(),
    )


def _dose(number: int, chance: random.Random) -> Resource:
    return _start(
        "Immunization",
        number,
        status="completed",
        vaccineCode=_coded(f"6{number:06}", display="A vaccine"),
        patient=_PATIENT,
        occurrenceDateTime=_at(number).date().isoformat(),
        lotNumber=f"L{number}",
    )


def _contact(number: int, chance: random.Random) -> Resource:
    end = _at(number) + timedelta(minutes=15)
    act = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
    period = {"start": _at(number).isoformat(), "end": end.isoformat()}
    return _start(
        "Encounter",
        number,
        status="finished",
        **{"class": {"system": act, "code": "AMB"}},
        subject=_PATIENT,
        period=period,
    )


def _letter(number: int, chance: random.Random) -> Resource:
    attachment = {"contentType": "application/pdf", "data": f"{number:08}JVBERi0xLjQK"}
    return _start(
        "DocumentReference",
        number,
        status="current",
        type=_coded("34133-9", _LOINC, "A letter"),
        subject=_PATIENT,
        date=_at(number).isoformat(),
        content=[{"attachment": attachment}],
    )


def _images(number: int, chance: random.Random) -> Resource:
    uid = {"system": "urn:dicom:uid", "value": f"urn:oid:1.2.826.0.1.{number + 1}"}
    return _start(
        "ImagingStudy",
        number,
        identifier=[uid],
        status="available",
        subject=_PATIENT,
        started=_at(number).isoformat(),
        numberOfInstances=chance.randint(1, 400),
    )


def _agreement(number: int, chance: random.Random) -> Resource:
    return _start(
        "MedicationRequest",
        number,
        status="active",
        intent="order",
        category=[_coded("33633005", display="Medication agreement")],
        medicationCodeableConcept=_coded(f"{number}", "urn:oid:2.16.840.1.113883.2.4.4.10"),
        subject=_PATIENT,
        authoredOn=_at(number).isoformat(),
        dosageInstruction=[{"text": "1 maal per dag 1 tablet"}],
    )


_KINDS = (
    (_laboratory, 45),
    (_pressure, 18),
    (_problem, 8),
    (_allergy, 2),
    (_procedure, 6),
    (_dose, 4),
    (_contact, 7),
    (_letter, 4),
    (_images, 2),
    (_agreement, 4),
)
_CHANGES: dict[str, Callable[[Resource], Resource]] = {
    "Observation": lambda told: _otherwise(told),
    "Condition": lambda told: {"bodySite": [_other_side(told)]},
    "Immunization": lambda told: {"lotNumber": f"{told['lotNumber']}-B"},
    "Procedure": lambda told: {"performedDateTime": "1999-01-01"},
}


def _other_side(told: Resource) -> Resource:
    left = told["bodySite"][0]["coding"][0]["code"] == "7771000"
    return _coded("24028007" if left else "7771000")


def _otherwise(told: Resource) -> Resource:
    if "component" in told:
        first, *rest = told["component"]
        value = first["valueQuantity"]
        return {
            "component": [{**first, "valueQuantity": {**value, "value": value["value"] + 9}}, *rest]
        }
    held = told["valueQuantity"]
    return {"valueQuantity": {**held, "value": held["value"] + Decimal("1.5")}}


def _varied(told: Resource, chance: random.Random) -> Resource:
    """The same in other words: another clock, unit, order of parts and of keys."""
    made = dict(told)
    for name, text in told.items():
        if isinstance(text, str) and len(text) > 16 and "T" in text and text.endswith("+00:00"):
            ahead = chance.choice(_HOURS)
            moment = datetime.fromisoformat(text) + ahead
            made[name] = f"{moment.isoformat()[:19]}+0{ahead.seconds // 3600}:00"
    if "component" in made:
        made["component"] = made["component"][::-1]
    held = made.get("valueQuantity")
    if held and chance.random() < 0.3:
        unit, times = _SCALED[held["code"]]
        made["valueQuantity"] = {**held, "value": held["value"] * times, "unit": unit, "code": unit}
    return dict(reversed(made.items()))


def parts(truth: Truth) -> Iterator[frozenset[str]]:
    """Each pair of statements that are the same."""
    for same in truth.same:
        for place, one in enumerate(same):
            yield from (frozenset({one, other}) for other in same[place + 1 :])
