"""What a fulfiller reads beside its Task: the request and whom it is about, no more than needed.

Source: exchange patterns §2.5 (TwiinWorkflowServiceRequest; BSN in Patient.identifier only).
"""

from openldn.base.runtime import instant
from openldn.fhir.identifiers import BSN_SYSTEM, CANON, URA_SYSTEM
from openldn.fhir.model import Resource
from openldn.node.coordination.model import Kept
from openldn.node.coordination.tables import offered
from openldn.patterns.notified_pull.states import COMPLETED

OURS = "H"  # the dialect that is spoken here


def service_request_of(kept: Kept) -> Resource:
    """The request behind an offer (R4)."""
    offer = kept.offer
    exchange, case = offered(offer.exchange, offer.use_case)
    work = case.wires.get(OURS)
    ended = "completed" if offer.state == COMPLETED else "revoked"
    placer = {"system": URA_SYSTEM, "value": offer.placer.value}
    code = {"coding": [{"system": work.work.system, "code": work.work.code}]} if work else {}
    return {
        "resourceType": "ServiceRequest",
        "id": kept.subject,
        "instantiatesCanonical": [f"{CANON}/ActivityDefinition/{exchange.code}-{case.name}"],
        "status": ended if offer.ended else "active",
        "intent": "order",
        **({"code": code} if code else {}),
        "subject": {"reference": f"Patient/{kept.subject}"},
        "authoredOn": instant(offer.created),
        "requester": {"type": "Organization", "identifier": placer},
    }


def patient_of(kept: Kept) -> Resource:
    """Whom an offer is about (R4): the number, by which the fulfiller knows the rest."""
    number = kept.patient.value if kept.patient else ""
    return {
        "resourceType": "Patient",
        "id": kept.subject,
        "identifier": [{"system": BSN_SYSTEM, "value": number}],
    }
