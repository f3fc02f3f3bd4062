"""The road of the LSP: FHIR as AORTA-on-FHIR has it, each message with its place in the chain.

Source: AORTA-on-FHIR, headers of every interaction; rule R84.
"""

from collections.abc import Mapping
from contextlib import suppress

from openldn.base.errors import LdnError
from openldn.base.runtime import NewId
from openldn.infrastructures.model import Call
from openldn.trust.aorta.headers import AortaId, AortaVersion

VERSION = AortaVersion.read(["contentVersion=1.0.0; acceptVersion=>=1.0.0 <2.0.0"])


def headers(call: Call, new_id: NewId) -> Mapping[str, str]:
    """What goes with one message: the same first id over the whole chain, a new one per hop."""
    return {"aorta-id": str(_first(call, new_id).hop(new_id)), "aorta-version": str(VERSION)}


def _first(call: Call, new_id: NewId) -> AortaId:
    """The chain that this question began, when its id is one that AORTA can carry."""
    with suppress(LdnError):
        return AortaId.read([str(AortaId(call.correlation, call.correlation))])
    return AortaId.begin(new_id)
