"""Sources for the scenarios of reconciling, and what a set says in a form that tests compare."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import Resource
from openldn.integration.reconcile import DEFAULT, Policy, Question, Source, reconcile

BSN = "999911120"
A, B, C = "00000001", "00000002", "00000003"
QUESTION = Question(Bsn.parse(BSN), datetime(2026, 1, 1, 12, tzinfo=UTC))
SCT = "http://snomed.info/sct"
LOINC = "http://loinc.org"
ICD10 = "http://hl7.org/fhir/sid/icd-10"
UCUM = "http://unitsofmeasure.org"
CLINICAL = "http://terminology.hl7.org/CodeSystem/condition-clinical"
TYPES = "http://terminology.hl7.org/CodeSystem/v2-0203"
PATIENT = {"reference": "Patient/p"}


def concept(code: str, system: str = SCT) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def identifier(value: str, kind: str = "", system: str = "urn:oid:1.2.3.4") -> Resource:
    typed = {"type": concept(kind, TYPES)} if kind else {}
    return {**typed, "system": system, "value": value}


def organization(ura: str) -> Resource:
    return {"identifier": {"system": "http://fhir.nl/fhir/NamingSystem/ura", "value": ura}}


def patient(birth: str = "1970-05-06", **more: Any) -> Resource:
    own = {"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": BSN}
    return {
        "resourceType": "Patient",
        "id": "p",
        "identifier": [own],
        "birthDate": birth,
        **more,
    }


def problem(own: str, what: str = "233604007", status: str = "active", **more: Any) -> Resource:
    return {
        "resourceType": "Condition",
        "id": own,
        "clinicalStatus": concept(status, CLINICAL),
        "code": concept(what),
        "subject": PATIENT,
        **more,
    }


def allergy(own: str, what: str = "764146007", status: str = "active", **more: Any) -> Resource:
    return {
        "resourceType": "AllergyIntolerance",
        "id": own,
        "clinicalStatus": concept(status, "http://terminology.hl7.org/CodeSystem/a-clinical"),
        "code": concept(what),
        "patient": PATIENT,
        **more,
    }


def verified(code: str) -> Resource:
    return concept(code, "http://terminology.hl7.org/CodeSystem/verification")


def quantity(value: str, unit: str) -> Resource:
    return {"value": Decimal(value), "unit": unit, "system": UCUM, "code": unit}


def result(own: str, value: str, unit: str = "mmol/L", **more: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "id": own,
        "status": "final",
        "category": [concept("laboratory", "http://terminology.hl7.org/CodeSystem/oc")],
        "code": concept("2823-3", LOINC),
        "subject": PATIENT,
        "effectiveDateTime": "2025-03-04T10:00:00+01:00",
        "valueQuantity": quantity(value, unit),
        **more,
    }


def pressure(own: str, *parts: tuple[str, str], **more: Any) -> Resource:
    components = [
        {"code": concept(code, LOINC), "valueQuantity": quantity(value, "mm[Hg]")}
        for code, value in parts
    ]
    return {
        "resourceType": "Observation",
        "id": own,
        "status": "final",
        "category": [concept("vital-signs", "http://terminology.hl7.org/CodeSystem/oc")],
        "code": concept("85354-9", LOINC),
        "subject": PATIENT,
        "effectiveDateTime": "2025-03-04T10:00:00+01:00",
        "component": components,
        **more,
    }


def smoking(own: str, answer: str, **more: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "id": own,
        "status": "final",
        "category": [concept("social-history", "http://terminology.hl7.org/CodeSystem/oc")],
        "code": concept("365980008"),
        "subject": PATIENT,
        "effectiveDateTime": "2025-03-04",
        "valueCodeableConcept": concept(answer),
        **more,
    }


def procedure(own: str, status: str = "completed", **more: Any) -> Resource:
    return {
        "resourceType": "Procedure",
        "id": own,
        "status": status,
        "code": concept("609588000"),
        "subject": PATIENT,
        "performedDateTime": "2025-03-04",
        **more,
    }


def dose(own: str, **more: Any) -> Resource:
    return {
        "resourceType": "Immunization",
        "id": own,
        "status": "completed",
        "vaccineCode": concept("871826000"),
        "patient": PATIENT,
        "occurrenceDateTime": "2025-03-04",
        **more,
    }


def contact(own: str, start: str, **more: Any) -> Resource:
    return {
        "resourceType": "Encounter",
        "id": own,
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
        "subject": PATIENT,
        "period": {"start": start},
        **more,
    }


def letter(own: str, data: str = "", **more: Any) -> Resource:
    attachment = {"contentType": "application/pdf", "data": data or "JVBERi0xLjQ="}
    return {
        "resourceType": "DocumentReference",
        "id": own,
        "status": "current",
        "type": concept("34133-9", LOINC),
        "subject": PATIENT,
        "date": "2025-03-04T10:00:00+01:00",
        "content": [{"attachment": attachment}],
        **more,
    }


def images(own: str, *identifiers: Resource, **more: Any) -> Resource:
    return {
        "resourceType": "ImagingStudy",
        "id": own,
        "status": "available",
        "subject": PATIENT,
        "started": "2025-03-04T10:00:00+01:00",
        "identifier": list(identifiers),
        **more,
    }


def directive(own: str, kind: str, dated: str, **more: Any) -> Resource:
    return {
        "resourceType": "Consent",
        "id": own,
        "status": "active",
        "scope": concept("treatment", "http://terminology.hl7.org/CodeSystem/consentscope"),
        "category": [concept("11291000146105")],
        "patient": PATIENT,
        "dateTime": dated,
        "policyRule": concept("OPTIN", "http://terminology.hl7.org/CodeSystem/v3-ActCode"),
        "provision": {"type": kind, "code": [concept("89666000")]},
        **more,
    }


def agreement(own: str, **more: Any) -> Resource:
    return {
        "resourceType": "MedicationRequest",
        "id": own,
        "status": "active",
        "intent": "order",
        "category": [concept("33633005")],
        "medicationCodeableConcept": concept("67903", "urn:oid:2.16.840.1.113883.2.4.4.10"),
        "subject": PATIENT,
        "authoredOn": "2025-03-04",
        **more,
    }


def source(ura: str, *resources: Resource, person: Resource | None = None) -> Source:
    held = [person or patient(), *resources]
    entries = [{"resource": each} for each in held]
    return Source(ura, {"resourceType": "Bundle", "type": "collection", "entry": entries})


def table(*rows: tuple[str, str, str, str, str]) -> Resource:
    """A ConceptMap of (system, code, equivalence, system, code)."""
    groups = [
        {
            "source": system,
            "target": other,
            "element": [{"code": code, "target": [{"code": same, "equivalence": how}]}],
        }
        for system, code, how, other, same in rows
    ]
    return {"resourceType": "ConceptMap", "status": "active", "group": groups}


class Said:
    """What a reconciled set says; statements go by URA and id at their source."""

    def __init__(self, bundle: Resource) -> None:
        self.bundle = bundle
        self.all = [entry["resource"] for entry in bundle["entry"]]
        self.by_name = {f"{r['resourceType']}/{r['id']}": r for r in self.all}
        self.members = {name: own for name, r in self.by_name.items() if (own := _own(r))}
        self.statements = {own: self.by_name[name] for name, own in self.members.items()}
        self.same = {
            frozenset(self.members[e["what"]["reference"]] for e in r["entity"]): r
            for r in self._made("Provenance", "provenance")
        }
        self.shown = {
            key: self.by_name[r["target"][0]["reference"]] for key, r in self.same.items()
        }
        self.possible = {
            frozenset(self._whose(i["resource"]["reference"]) for i in r["item"])
            for r in self.all
            if r["resourceType"] == "Linkage"
        }
        self.issues = [
            (
                r["code"]["coding"][0]["code"],
                tuple(self._whose(i["reference"]) for i in r["implicated"]),
            )
            for r in self.all
            if r["resourceType"] == "DetectedIssue"
        ]
        outcome = next(r for r in self.all if r["resourceType"] == "OperationOutcome")
        self.told = {
            (i["details"]["coding"][0]["code"], i["diagnostics"]) for i in outcome["issue"]
        }

    def conflicts(self, code: str = "conflict") -> set[frozenset[str]]:
        return {frozenset(ends) for kind, ends in self.issues if kind == code}

    def codes(self) -> set[str]:
        return {code for code, _ in self.told}

    def summary(self) -> object:
        """All of it, to see whether a rule makes any difference."""
        shown = {key: self._member_of(key, made) for key, made in self.shown.items()}
        return (shown, self.possible, sorted(self.issues), sorted(self.told))

    def _member_of(self, key: frozenset[str], made: Resource) -> object:
        tags = [t["code"] for t in made["meta"]["tag"]]
        alike = [own for own in sorted(key) if _bare(self.statements[own]) == _bare(made)]
        return (alike, tags)

    def _whose(self, reference: str) -> str:
        if reference in self.members:
            return self.members[reference]
        made = self.by_name[reference]
        key = next(k for k, r in self.shown.items() if r is made)
        return min(key)

    def _made(self, name: str, tag: str) -> list[Resource]:
        return [
            r
            for r in self.all
            if r["resourceType"] == name
            and any(t.get("code") == tag for t in r["meta"].get("tag", ()))
        ]


def _own(resource: Resource) -> str:
    ura = resource.get("meta", {}).get("source", "").rpartition("/")[2]
    held = [*resource.get("identifier", ()), *resource.get("meta", {}).get("tag", ())]
    for each in held if ura else ():
        if each.get("system", "").endswith(f"source-id/{ura}"):
            return f"{ura} {each.get('value') or each.get('code')}"
    return ""


def _bare(resource: Resource) -> Resource:
    return {k: v for k, v in resource.items() if k not in {"id", "meta", "identifier"}}


def said(*sources: Source, policy: Policy = DEFAULT, **tables: Any) -> Said:
    return Said(reconcile(sources, QUESTION, policy, **tables))
