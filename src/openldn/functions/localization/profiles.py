"""The wire generations of localization: what each takes and answers, as data.

Source: specification of generic functions §0.3, §5.2, §5.3, §5.4.
"""

from dataclasses import dataclass

from openldn.base.errors import Issue, LdnError
from openldn.functions.localization.model import OAUTH_CLIENT_ID, SOURCE_SYSTEMS, URI_SYSTEM


@dataclass(frozen=True)
class Profile:
    """One wire generation of the List interface."""

    name: str
    base: str  # path below the origin
    strict: bool  # the guide's List to the letter, tokens count once, FHIR transactions
    deleted: int  # status of a removal
    absent: int  # status of a create without subject
    refused: int  # status of a wrong system or value of the source
    changed: int  # status of a Bundle with an update, which does not exist
    bundle: str  # type of the answer to a Bundle
    systems: frozenset[str]  # of a source, when it registers
    parameters: dict[str, str]  # search parameter -> what it narrows

    def other(self, what: str) -> LdnError:
        """The refusal of what another wire generation would have taken."""
        text = f"{what} is not spoken here: {self.base} speaks the profile {self.name} (List)"
        return LdnError(Issue.BUSINESS_RULE, text, detail="dialect")


_BOTH = {"subject:identifier": "subject", "source:identifier": "source"}

LIST_2026 = Profile(
    name="list-2026",
    base="/fhir",
    strict=False,
    deleted=201,
    absent=400,
    refused=400,
    changed=403,
    bundle="searchset",
    systems=frozenset(SOURCE_SYSTEMS),
    parameters=_BOTH,
)
IG_MINISTRY = Profile(
    name="ig-ministry",
    base="/ig-ministry/fhir",
    strict=True,
    deleted=204,
    absent=422,
    refused=422,
    changed=422,
    bundle="transaction-response",
    systems=frozenset({OAUTH_CLIENT_ID}),
    parameters={
        **_BOTH,
        "subject": "subject",
        "source": "source",
        "code": "category",
        "_count": "count",
        "_page": "page",
    },
)
PROFILES = (LIST_2026, IG_MINISTRY)
IG_NUTS = "ig-nuts"  # DocumentReference; has a module of its own
SENT_SYSTEM = {LIST_2026.name: URI_SYSTEM, IG_MINISTRY.name: OAUTH_CLIENT_ID}
