"""What a simulated party can do in a journey, through the controls of its simulator.

It answers the same facts as a node does, so that a step can be taken by either.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from openldn.access.frame.network import object_of
from openldn.base.http import Reply
from openldn.fhir.codec import parse
from openldn.testbench.journeys.model import Facts

PATIENT = "jansen"  # id of her Patient in the records of each simulated party

Call = Callable[[str, str, Mapping[str, Any] | None], Awaitable[Reply]]  # method, path, body
UraOf = Callable[[str], str]  # key of a party -> its URA
Act = Callable[[Call, UraOf, Mapping[str, Any]], Awaitable[Facts]]


async def _ask(call: Call, ura: UraOf, given: Mapping[str, Any]) -> Facts:
    """Ask one holder about one patient."""
    exchange = given.get("exchange", "bgz")
    body = {"holder": ura(given["holder"]), "exchange": exchange, "patient": PATIENT}
    reply = await call("POST", "/ask", body)
    content = parse(reply.body)
    return content if reply.status == 200 else {"status": reply.status, "reason": _reason(content)}


async def _offer(call: Call, ura: UraOf, given: Mapping[str, Any]) -> Facts:
    """Offer one party the data of one patient, in the dialect that this party has for it."""
    body = {"to": ura(given["to"]), "exchange": given["exchange"], "patient": PATIENT}
    return _offered(await call("POST", "/offers", body), 201)


async def _find(call: Call, ura: UraOf, given: Mapping[str, Any]) -> Facts:
    """Find an offer among those this party received, by the Task at its sender."""
    found = object_of(await call("GET", "/offers", None))
    sender = ura(given["sender"])
    for offer in found["received"]:
        if (offer["task"], offer["party"]) == (given["task"], sender):
            return _told(offer)
    return {}


async def _look(call: Call, ura: UraOf, given: Mapping[str, Any]) -> Facts:
    """Look at where an offer stands, on this party's side."""
    return _told(object_of(await call("GET", f"/offers/{given['offer']}", None)))


async def _act(call: Call, ura: UraOf, given: Mapping[str, Any]) -> Facts:
    """Decide about an offer, or notify again."""
    body = {
        "reason": given.get("reason", {}).get("text", ""),
        "proposed": given.get("proposed", {}).get("start", ""),
    }
    return _offered(await call("POST", f"/offers/{given['offer']}/${given['event']}", body), 200)


async def _fetch(call: Call, ura: UraOf, given: Mapping[str, Any]) -> Facts:
    """Fetch what an offer names, on the right that came with it."""
    reply = await call("POST", f"/offers/{given['offer']}/$fetch", {})
    content = parse(reply.body)
    if reply.status != 200:
        return {"status": reply.status, "reason": _reason(content)}
    return {"status": 200, **{name: content[name] for name in ("resources", "gaps", "of")}}


async def _evidence(call: Call, ura: UraOf, given: Mapping[str, Any]) -> Facts:
    """Count what the simulator saw of one kind, of one party."""
    reply = await call("GET", "/events", None)
    found = parse(reply.body) if reply.status == 200 else ()
    wanted = (given["event"], ura(given["of"]))
    return {"events": sum((e["name"], e["party"]) == wanted for e in found)}


async def _fault(call: Call, ura: UraOf, given: Mapping[str, Any]) -> Facts:
    """Let something go wrong here, as often as is asked."""
    body = {name: given[name] for name in ("kind", "at", "times", "seconds") if name in given}
    return {"answer": (await call("POST", "/fault", body)).status}


def _offered(reply: Reply, wanted: int) -> Facts:
    content = parse(reply.body)
    if reply.status != wanted:
        return {"answer": reply.status, "reason": _reason(content)}
    return {"answer": wanted, **_told(content)}


def _told(offer: Mapping[str, Any]) -> Facts:
    """What a journey tells of an offer: nothing that is empty, and not the party twice."""
    return {k: v for k, v in offer.items() if v != "" and k not in {"side", "party", "exchange"}}


def _reason(content: Any) -> str:
    issues = content.get("issue", ()) if isinstance(content, dict) else ()
    return "; ".join(str(i.get("diagnostics", i.get("code", ""))) for i in issues)


SIMULATED: Mapping[str, Act] = {
    "act": _act,
    "ask": _ask,
    "evidence": _evidence,
    "fault": _fault,
    "fetch": _fetch,
    "find": _find,
    "look": _look,
    "offer": _offer,
}
