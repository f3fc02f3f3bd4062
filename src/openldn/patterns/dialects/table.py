"""The dialects in use, as data.

Source: exchange patterns §2.1-§2.9, §3.2.
"""

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import URA_SYSTEM
from openldn.fhir.model import FhirVersion
from openldn.patterns.dialects import cells, states
from openldn.patterns.dialects.model import Dialect, Place
from openldn.patterns.dialects.organizations import AGB_OID, DID
from openldn.patterns.notified_pull.shapes import Shape
from openldn.patterns.notified_pull.states import FULFILLER_STARTS

SUCCESS = frozenset({200, 201, 202, 204})  # what counts as told, whatever the dialect expects
_BOTH = frozenset({"order", "proposal"})

TWIIN = Dialect(
    code="T",
    name="Twiin TA Notified Pull",
    fhir=FhirVersion.STU3,
    shape=Shape.S3,
    method="POST",
    path="Task",
    replies=frozenset({201}),
    organizations=(URA_SYSTEM, AGB_OID),
    table=states.WORKFLOW,
    statuses=states.WORKFLOW_STATUSES,
    intent="order",
    intents=_BOTH,
    returns=(),
    cancels=Shape.S6,
    changes=False,
    queries=(Place.NOTIFICATION, Place.TASK),
    bsn=frozenset({Place.NOTIFICATION, Place.TASK}),
    authorization="authorization-base, returned as authorization_base in the token request",
    tokens=("D2",),
    strict=False,
    cells=cells.TWIIN,
    steps=cells.TWIIN_STEPS,
    source="exchange patterns §2.1",
)
TRANSFER = Dialect(
    code="N",
    name="Nictiz eOverdracht on Nuts",
    fhir=FhirVersion.STU3,
    shape=Shape.S2,
    method="POST",
    path="{id}",
    replies=frozenset({202, 204}),
    organizations=(URA_SYSTEM, DID),
    table=states.TRANSFER,
    statuses=states.TRANSFER_STATUSES,
    intent="order",
    intents=frozenset({"order"}),
    returns=("PUT",),
    cancels=Shape.S2,
    changes=True,
    queries=(),
    bsn=frozenset(),
    authorization="scope, and a record at the sender of what the receiver may read",
    tokens=("D1",),
    strict=False,
    cells=cells.TRANSFER,
    steps=cells.TRANSFER_STEPS,
    source="exchange patterns §2.2, exchanges §5",
)
NUTS = Dialect(
    code="NP",
    name="Twiin TA Notified Pull on Nuts",
    fhir=FhirVersion.STU3,
    shape=Shape.S3,
    method="POST",
    path="Task",
    replies=frozenset({201}),
    organizations=(DID, URA_SYSTEM),
    table=states.WORKFLOW,
    statuses=states.WORKFLOW_STATUSES,
    intent="order",
    intents=_BOTH,
    returns=("PUT",),
    cancels=Shape.S3,
    changes=True,
    queries=(Place.TASK,),
    bsn=frozenset(),
    authorization="two credentials: one for the workflow Task, one for the personal data",
    tokens=("D4",),
    strict=True,
    cells=cells.NUTS,
    steps=cells.NUTS_STEPS,
    source="exchange patterns §2.3",
)
MIXED = Dialect(
    code="K",
    name="the mixed form of the knooppunt",
    fhir=FhirVersion.STU3,
    shape=Shape.S3,
    method="POST",
    path="Task",
    replies=frozenset({201}),
    organizations=(URA_SYSTEM,),
    table=states.WORKFLOW,
    statuses=states.WORKFLOW_STATUSES,
    intent="proposal",
    intents=_BOTH,
    returns=("PUT",),
    cancels=Shape.S6,
    changes=True,
    queries=(Place.NOTIFICATION, Place.TASK),
    bsn=frozenset({Place.NOTIFICATION, Place.TASK}),
    authorization="scope, and a FHIR Consent at the sender",
    tokens=("D1",),
    strict=False,
    cells=cells.TWIIN,
    steps=cells.MIXED_STEPS,
    source="exchange patterns §2.4",
)
CARE_PLAN = Dialect(
    code="O",
    name="Shared Care Planning (ORCA)",
    fhir=FhirVersion.R4,
    shape=Shape.S5,
    method="POST",
    path="",
    replies=frozenset({200, 201, 202, 204}),
    organizations=(URA_SYSTEM,),
    table=states.CARE_PLAN,
    statuses=states.CARE_PLAN_STATUSES,
    intent="order",
    intents=frozenset({"order"}),
    returns=("PUT",),
    cancels=Shape.S5,
    changes=True,
    queries=(),
    bsn=frozenset(),
    authorization="membership of the care team",
    tokens=("D1",),
    strict=False,
    cells=cells.CARE_PLAN,
    steps=cells.CARE_PLAN_STEPS,
    source="exchange patterns §2.6, §4.2",
)
OWN = Dialect(
    code="H",
    name="the harmonized form",
    fhir=FhirVersion.R4,
    shape=Shape.S5,
    method="POST",
    path="",
    replies=frozenset({200}),
    organizations=(URA_SYSTEM,),
    table=FULFILLER_STARTS,  # or another of its tables, as the offer says
    statuses=states.OWN_STATUSES,
    intent="order",
    intents=frozenset({"order"}),
    returns=("PUT", "PATCH"),
    cancels=Shape.S5,
    changes=True,
    queries=(Place.TASK,),
    bsn=frozenset(),
    authorization="an opaque value bound to receiver, Task, interactions and period",
    tokens=("D3", "D2", "D1"),
    strict=False,
    cells=cells.OWN,
    steps=cells.OWN_STEPS,
    source="exchange patterns §3.1, §4.4",
)

DIALECTS = {d.code: d for d in (TWIIN, TRANSFER, NUTS, MIXED, CARE_PLAN, OWN)}


def dialect(code: str) -> Dialect:
    """The dialect with this code; raises LdnError(not-supported) that lists the codes."""
    if (found := DIALECTS.get(code)) is None:
        text = f"the dialect {code!r} is not spoken; choose from {', '.join(DIALECTS)}"
        raise LdnError(Issue.NOT_SUPPORTED, text)
    return found
