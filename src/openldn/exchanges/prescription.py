"""Prescription and dispense answer: pushed from prescriber to pharmacy and back.

Source: Nictiz medication process 9 3.0 (FHIR R4), transactions prescription and handling
(mp-MedicationPrescription-Bundle, mp-MedicationPrescriptionProcessing-Bundle); exchanges §6.5,
whose role codes are the scopes. The capability code in the directory is ours: none is published.
"""

from openldn.fhir.identifiers import CANON
from openldn.fhir.model import FhirVersion
from openldn.patterns.exchange import Exchange, Pattern, Pushed, Title, UseCase

_WHO = frozenset(
    {"Patient", "Practitioner", "PractitionerRole", "Organization", "Location", "RelatedPerson"}
)
# MA and VV; laboratory values, height and weight come along.
_ORDERED = _WHO | {"MedicationRequest", "Medication", "Observation", "Specimen"}
_DISPENSED = _WHO | {"MedicationDispense", "Medication", "Device"}  # TA and MVE

PRESCRIPTION = Exchange(
    code="prescription",
    title=Title("Medicatievoorschrift", "Prescription"),
    payload=f"{CANON}/CapabilityStatement/prescription",
    releases=(),
    use_cases=(
        UseCase(
            name="prescribe",
            pattern=Pattern.PUSH,
            scope="MP-VOS",
            title=Title("een voorschrift versturen", "send a prescription to a pharmacy"),
            push=Pushed(FhirVersion.R4, _ORDERED),
        ),
        UseCase(
            name="dispense",
            pattern=Pattern.PUSH,
            scope="MP-VAS",
            title=Title("een voorschrift afhandelen", "answer with what is dispensed"),
            push=Pushed(FhirVersion.R4, _DISPENSED),
        ),
    ),
    purposes=frozenset({"TREAT", "COC"}),
    source="Nictiz information standard medication process; transition plan (medication)",
)
