"""What the portal asks of a node beside one question to one holder: everyone, and old cases."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from openldn.access.frame.network import Node, object_of
from openldn.access.professional.everyone import Collection
from openldn.access.professional.gate import Gate, told
from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import dump
from openldn.functions.authorization.emergency import BREAKING
from openldn.node.emergencies.declaring import VIEW

_JSON = {"content-type": "application/json"}
Row = dict[str, Any]


def collect(gate: Gate, asked: Collection) -> AsyncIterator[Mapping[str, Any]]:
    """What everyone answers, event by event; raises LdnError when the node refuses."""
    glass = asked.glass
    purpose = BREAKING if glass else "TREAT"
    body = told(asked.practitioner, asked.standing, asked.bsn, purpose)
    if glass:
        body["emergency"] = {"code": glass.code, "text": glass.text, "use": VIEW}
    path = "exchanges/bgz/$collect"
    return gate.streamed(asked.provider, asked.correlation, path, body)


async def cases(gate: Gate, node: Node, *, every: bool) -> Sequence[Row]:
    """The cases of broken glass, newest first: those that wait for a review, or every one."""
    url = f"{node.api}/emergencies{'?all=yes' if every else ''}"
    listed = object_of(await gate.client(node).send("GET", url, deadline=10)).get("emergencies")
    if not isinstance(listed, list) or not all(isinstance(c, dict) for c in listed):
        raise LdnError(Issue.INCOMPLETE, "the node answered something unintelligible; ask again")
    return listed  # never to be read as none


async def review(gate: Gate, node: Node, id: str, found: Mapping[str, Any]) -> None:
    """Keep what looking back found; raises LdnError in the node's words."""
    url = f"{node.api}/emergencies/{quote(id, safe='')}/$review"
    reply = await gate.client(node).send(
        "POST", url, headers=_JSON, body=dump(dict(found)), deadline=10
    )
    object_of(reply)
