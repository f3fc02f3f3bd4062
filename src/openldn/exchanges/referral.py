"""Referral: a notified pull, or a push, with a data set that the sender chooses.

No table stands behind it: that it works by the same agreements as the BgZ and the eOverdracht
shows that these do not depend on what is in them.
"""

from openldn.fhir.identifiers import CANON
from openldn.fhir.model import FhirVersion
from openldn.patterns.exchange import Code, Exchange, Part, Pattern, Pushed, Title, UseCase, Wire

SCT = "http://snomed.info/sct"
# What may come along with a referral that is sent as a whole: clinical facts, and who and where.
CLINICAL = frozenset(
    """AllergyIntolerance Binary CarePlan CareTeam Communication Composition Condition
    Coverage Device DeviceUseStatement DiagnosticReport DocumentReference Encounter EpisodeOfCare
    FamilyMemberHistory Flag Goal ImagingStudy Immunization Location Media Medication
    MedicationAdministration MedicationDispense MedicationRequest MedicationStatement
    NutritionOrder Observation Organization Patient Practitioner PractitionerRole Procedure
    QuestionnaireResponse RelatedPerson ServiceRequest Specimen""".split()
)
ANY = Code(f"{CANON}/CodeSystem/offered", "data")

REFERRAL = Exchange(
    code="referral",
    title=Title("Verwijzing", "Referral"),
    payload=f"{CANON}/CapabilityStatement/referral",
    releases=(),
    use_cases=(
        UseCase(
            name="refer",
            pattern=Pattern.NOTIFIED_PULL,
            scope="referral-sender",
            title=Title("verwijzen met eigen gegevens", "refer with data of the sender's choice"),
            wires={
                "H": Wire(
                    "ta-np-notification",
                    "referral-sender",
                    "Twiin-TA-notification",
                    Code(SCT, "3457005"),
                )
            },
            parts=(Part("data", Title("Aangeboden gegevens", "Offered data"), "accepted", (ANY,)),),
            open=True,
        ),
        UseCase(
            name="send",
            pattern=Pattern.PUSH,
            scope="referral-push",
            title=Title("verwijzen en de gegevens meesturen", "refer and send the data along"),
            purposes=frozenset({"TREAT", "COC"}),
            push=Pushed(FhirVersion.R4, CLINICAL, ("transaction", "batch", "document")),
        ),
    ),
    purposes=frozenset({"TREAT", "COC", "ETREAT"}),
    source="deliverable CN-3: agreements free of content",
)
