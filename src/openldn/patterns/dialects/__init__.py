"""Every dialect of the notified pull in use: written from our offers, read into them.

`dialect` gives the table of one; `written` and `read` are the maps; `hear` takes whatever arrives
at the address for notifications.
"""

from collections.abc import Callable
from dataclasses import replace

from openldn.fhir.model import Resource
from openldn.patterns.dialects import eoverdracht, orca, twiin
from openldn.patterns.dialects.checks import fitting
from openldn.patterns.dialects.model import Dialect, Parties, Read, Written
from openldn.patterns.dialects.organizations import AGB_OID, DID
from openldn.patterns.dialects.profiles import NOTIFICATION, WORKFLOW_TASK
from openldn.patterns.dialects.table import DIALECTS, dialect
from openldn.patterns.notified_pull.model import Offer

Write = Callable[[Offer, Dialect, Parties], Written]
ReadBack = Callable[[Resource | None, Resource | None, Dialect, Parties], Read]

FORMS: dict[str, tuple[Write, ReadBack]] = {
    "T": (twiin.written, twiin.read),
    "NP": (twiin.written, twiin.read),
    "K": (twiin.written, twiin.read),
    "N": (eoverdracht.written, eoverdracht.read),
    "O": (orca.written, orca.read),
}  # the harmonized form writes itself
_SYSTEMS = {"agb-oid": AGB_OID, "did": DID}

__all__ = ["DIALECTS", "FORMS", "dialect", "of_peer", "read", "written"]


def of_peer(wire: str, organizations: str = "ura") -> Dialect:
    """The dialect of a peer profile, naming organizations as that peer does.

    Raises LdnError(not-supported) for a wire that is not here.
    """
    found = dialect(wire)
    first = _SYSTEMS.get(organizations)
    if first is None:
        return found
    others = tuple(s for s in found.organizations if s != first)
    return replace(found, organizations=(first, *others))


def written(offer: Offer, dialect: Dialect, parties: Parties) -> Written:
    """The offer in this dialect, checked as we check what others send; with all that is lost.

    Raises LdnError: not-found when a party has no identifier the dialect takes, business-rule
    when it would say what the dialect forbids (a BSN in a note, R08).
    """
    found = FORMS[dialect.code][0](offer, dialect, parties)
    for task, profile in ((found.notification, NOTIFICATION), (found.task, WORKFLOW_TASK)):
        if task is not None:
            fitting(task, profile, dialect)
    return found


def read(
    notification: Resource | None, task: Resource | None, dialect: Dialect, parties: Parties
) -> Read:
    """The offer that messages of this dialect say; raises LdnError for what may not be taken."""
    if task is not None:
        fitting(task, WORKFLOW_TASK, dialect)
    return FORMS[dialect.code][1](notification, task, dialect, parties)
