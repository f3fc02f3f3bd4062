"""Referral: a notified pull with a data set that the sender chooses, in any FHIR version.

No table stands behind it: that it works by the same agreements as the BgZ and the eOverdracht
shows that these do not depend on what is in them.
"""

from openldn.fhir.identifiers import CANON
from openldn.patterns.exchange import Code, Exchange, Part, Pattern, Title, UseCase, Wire

SCT = "http://snomed.info/sct"
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
    ),
    purposes=frozenset({"TREAT", "COC", "ETREAT"}),
    source="deliverable CN-3: agreements free of content",
)
