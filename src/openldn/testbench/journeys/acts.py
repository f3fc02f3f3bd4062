"""What a party of a running network can do in a journey, through its own node's interface."""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from urllib.parse import urlencode

from openldn.access.frame.network import Network, Node, Nodes, object_of
from openldn.base.errors import Issue, LdnError
from openldn.base.http import Reply
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import BSN_SYSTEM
from openldn.testbench.journeys.contents import CONTENTS
from openldn.testbench.journeys.model import Facts
from openldn.testbench.journeys.simulated import SIMULATED
from openldn.testbench.synth.story import JANSEN

DEADLINE = 60.0  # seconds for one call
PATIENTS = {"jansen": JANSEN.bsn}  # by name, so that no BSN stands in a journey or its outcome
HIGH = "http://eidas.europa.eu/LoA/high"  # how firmly who breaks the glass signed in
REVIEWER = {"id": "desk-journey", "name": "TEST openldn reviewer"}
DOCTOR = {"uzi": "900000000", "role": "01.015", "name": "TEST openldn journey"}
_OUTCOME = "OperationOutcome"
_JSON = {"content-type": "application/json", "accept": "application/fhir+json"}


@dataclass(frozen=True)
class Stage:
    """The running network on which a journey is played."""

    nodes: Nodes

    @property
    def network(self) -> Network:
        """The network as its file says now."""
        return self.nodes.network()

    async def perform(self, who: str, act: str, given: Mapping[str, Any]) -> Facts:
        """What this act of this party comes to; raises LdnError when it cannot be done at all."""
        if self.simulated(who):
            return await SIMULATED[act](partial(self.call, who), self.ura, given)
        return await ACTS[act](self, who, given)

    def simulated(self, key: str) -> bool:
        """Whether this party is a simulated one."""
        return any(one.key == key for one in self.network.simulators)

    def ura(self, key: str) -> str:
        """The URA of the party with this key; raises LdnError as `party` does."""
        return self.party(key).ura

    def party(self, key: str) -> Node:
        """The party with this key; raises LdnError(not-found) that lists the keys."""
        everybody = (*self.network.nodes, *self.network.simulators)
        for node in everybody:
            if node.key == key:
                return node
        keys = ", ".join(n.key for n in everybody)
        raise LdnError(Issue.NOT_FOUND, f"no node {key} in this network; there are: {keys}")

    async def call(
        self, who: str, method: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Reply:
        """What the node of this party answers to its own organization."""
        node = self.party(who)
        return await self._sent(node, method, f"{node.api}{path}", body)

    async def keep(self, who: str, fhir: str, bundle: Mapping[str, Any]) -> Reply:
        """What the record of this party answers to a transaction of its own systems."""
        node = self.party(who)
        origin = node.api.removesuffix("/api")
        return await self._sent(node, "POST", f"{origin}/station/{fhir}", bundle)

    async def _sent(
        self, node: Node, method: str, url: str, body: Mapping[str, Any] | None
    ) -> Reply:
        sent = dump(dict(body)) if body is not None else None
        http = self.nodes.client(node)
        return await http.send(method, url, headers=_JSON, body=sent, deadline=DEADLINE)


Act = Callable[[Stage, str, Mapping[str, Any]], Awaitable[Facts]]


async def _ask(stage: Stage, who: str, given: Mapping[str, Any]) -> Facts:
    """Ask one holder about one patient."""
    body = {**_asked(given), "holder": stage.party(given["holder"]).ura}
    exchange = given.get("exchange", "bgz")
    reply = await stage.call(who, "POST", f"/exchanges/{exchange}/$ask", body)
    return {**_answered(reply), "correlation": reply.headers.get("x-request-id", "")}


async def _locate(stage: Stage, who: str, given: Mapping[str, Any]) -> Facts:
    """Ask the index who says to hold data of a patient."""
    body = {**_asked(given), "exchange": given.get("exchange", "bgz")}
    found = object_of(await stage.call(who, "POST", "/locate", body))
    names = {node.ura: node.key for node in stage.network.nodes}
    able = [h for h in found["holders"] if not h["reason"]]
    keys = sorted(names.get(h["ura"], h["ura"]) for h in able)
    return {"holders": ", ".join(keys), "count": len(keys)}


async def _evidence(stage: Stage, who: str, given: Mapping[str, Any]) -> Facts:
    """Count the events of one question in the audit log of this party."""
    wanted = {"_count": "1000", "correlation": given["correlation"], "_tag": given["event"]}
    found = object_of(await stage.call(who, "GET", f"/audit?{urlencode(wanted)}"))
    return {"events": len(found.get("entry", ()))}


async def _offer(stage: Stage, who: str, given: Mapping[str, Any]) -> Facts:
    """Offer one party the data of one patient."""
    wish = {
        "exchange": given["exchange"],
        "use_case": given.get("use_case", ""),
        "bsn": PATIENTS[given.get("patient", "jansen")].value,
        "receivers": [stage.party(given["to"]).ura],
        "note": given.get("note", ""),
        "resources": given.get("resources", ()),
        "practitioner": DOCTOR,
    }
    reply = await stage.call(who, "POST", "/offers", wish)
    content = parse(reply.body)
    if reply.status != 201:
        return {"answer": reply.status, "reason": _reason(content)}
    return {"answer": 201, **_offered(content["offers"][0])}


async def _find(stage: Stage, who: str, given: Mapping[str, Any]) -> Facts:
    """Find an offer among those this party received, by the Task at its sender."""
    found = object_of(await stage.call(who, "GET", "/offers?side=received&count=500"))
    sender = stage.party(given["sender"]).ura
    task = given["task"]
    ours = [o for o in found["offers"] if (o["task"], o["placer"]["ura"]) == (task, sender)]
    return {**_offered(ours[0]), "found": len(ours)} if ours else {}


async def _look(stage: Stage, who: str, given: Mapping[str, Any]) -> Facts:
    """Look at where an offer stands, on this party's side."""
    return _offered(object_of(await stage.call(who, "GET", f"/offers/{given['offer']}")))


async def _fetch(stage: Stage, who: str, given: Mapping[str, Any]) -> Facts:
    """Fetch what an offer names, on the right that came with it."""
    body = {"purpose": "TREAT", "practitioner": DOCTOR}
    reply = await stage.call(who, "POST", f"/offers/{given['offer']}/$pull", body)
    return {**_answered(reply), "correlation": reply.headers.get("x-request-id", "")}


async def _record(stage: Stage, who: str, given: Mapping[str, Any]) -> Facts:
    """Write resources in this party's own record, with the patient they are about."""
    patient = PATIENTS[given.get("patient", "jansen")]
    named = {"system": BSN_SYSTEM, "value": patient.value}
    whom = {"resourceType": "Patient", "id": given.get("patient", "jansen"), "identifier": [named]}
    entries = [
        {"resource": r, "request": {"method": "PUT", "url": f"{r['resourceType']}/{r['id']}"}}
        for r in (whom, *given["resources"])
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    reply = await stage.keep(who, given["fhir"], bundle)
    return {"answer": reply.status, "kept": len(entries) if reply.status == 200 else 0}


async def _collect(stage: Stage, who: str, given: Mapping[str, Any]) -> Facts:
    """Ask everyone who holds data of a patient, in an emergency where a reason is given."""
    body = {**_asked(given), **({"emergency": given["emergency"]} if "emergency" in given else {})}
    if "emergency" in given:
        body["practitioner"] = {**DOCTOR, "loa": HIGH}
    path = f"/exchanges/{given.get('exchange', 'bgz')}/$collect"
    reply = await stage.call(who, "POST", path, body)
    labels = [c["code"] for c in parse(reply.body).get("meta", {}).get("security", ())]
    found = {**_answered(reply), "labels": ", ".join(labels)}
    return {**found, "correlation": reply.headers.get("x-request-id", "")}


async def _cases(stage: Stage, who: str, given: Mapping[str, Any]) -> Facts:
    """Look at the cases of broken glass that wait for a review here."""
    found = object_of(await stage.call(who, "GET", "/emergencies"))["emergencies"]
    ours = [c for c in found if c["side"] == given["side"] and c["exchange"] == given["exchange"]]
    newest: Mapping[str, Any] = max(ours, key=lambda c: str(c["began"]), default={})
    told = {"cases": len(ours), "case": newest.get("id", ""), "code": newest.get("code", "")}
    return {**told, "opened": newest.get("opened", False)}


async def _review(stage: Stage, who: str, given: Mapping[str, Any]) -> Facts:
    """Keep what a second person found of a case."""
    body = {"outcome": given["outcome"], "text": given["text"], "reviewer": REVIEWER}
    reply = await stage.call(who, "POST", f"/emergencies/{given['case']}/$review", body)
    content = parse(reply.body)
    if reply.status != 200:
        return {"answer": reply.status, "reason": _reason(content)}
    return {"answer": 200, "outcome": content["outcome"]}


async def _messages(stage: Stage, who: str, given: Mapping[str, Any]) -> Facts:
    """What is kept here for the patient of who broke the glass."""
    bsn = PATIENTS[given.get("patient", "jansen")].value
    found = object_of(await stage.call(who, "POST", "/emergencies/messages", {"bsn": bsn}))
    newest: Mapping[str, Any] = next(iter(found["messages"]), {})
    told = {"messages": len(found["messages"]), "by": newest.get("name", "")}
    return {**told, "outcome": newest.get("outcome", "")}


async def _act(stage: Stage, who: str, given: Mapping[str, Any]) -> Facts:
    """Decide about an offer: accept, reject, start, complete, cancel, propose, agree."""
    known = {name: given[name] for name in ("reason", "note", "proposed") if name in given}
    path = f"/offers/{given['offer']}/${given['event']}"
    reply = await stage.call(who, "POST", path, {**known, "practitioner": DOCTOR})
    content = parse(reply.body)
    if reply.status not in {200, 202}:
        return {"answer": reply.status, "reason": _reason(content)}
    return {"answer": reply.status, **_offered(content)}


def _offered(offer: Mapping[str, Any]) -> dict[str, Any]:
    """An offer as a journey tells of it; not about whom it is."""
    why = offer.get("reason") or {}
    return {
        "offer": offer["id"],
        "task": offer["task"],
        "status": offer["status"],
        "business": offer["business_status"],
        "version": offer["version"],
        "turn": ", ".join(offer["turn"]),
        "why": why.get("text", ""),
        **(_told(offer["dialect"] or {}) if "dialect" in offer else {}),
    }


def _told(dialect: Mapping[str, Any]) -> dict[str, Any]:
    """In which dialect the other side is told, and what it has no words for."""
    lost = "; ".join(loss["element"] for loss in dialect.get("losses", ()))
    return {"dialect": dialect.get("wire", "H"), "lost": lost}


async def _push(stage: Stage, who: str, given: Mapping[str, Any]) -> Facts:
    """Send one party a Bundle about one patient."""
    patient = PATIENTS[given.get("patient", "jansen")]
    wish = {
        "to": stage.party(given["to"]).ura,
        "exchange": given["exchange"],
        "use_case": given["use_case"],
        "bsn": patient.value,
        "practitioner": DOCTOR,
        "bundle": CONTENTS[given["content"]](patient, utc_now(), new_uuid),
    }
    reply = await stage.call(who, "POST", "/push", wish)
    content = parse(reply.body)
    if reply.status != 201:
        return {"answer": reply.status, "reason": _reason(content)}
    told = {name: content[name] for name in ("state", "correlation")}
    return {"answer": 201, "push": content["id"], **told}


async def _pushed(stage: Stage, who: str, given: Mapping[str, Any]) -> Facts:
    """Look at what a push came to, and at its receipt."""
    found = object_of(await stage.call(who, "GET", f"/push/{given['push']}"))
    why = found["reason"] or {}
    facts = {"state": found["state"], "entries": found["entries"], "reason": why.get("code", "")}
    if found["state"] not in {"accepted", "partly-accepted", "refused"}:
        return facts
    receipt = object_of(await stage.call(who, "GET", f"/push/{given['push']}/receipt"))
    return {**facts, "receipt": receipt.get("type", receipt["resourceType"])}


def _asked(given: Mapping[str, Any]) -> dict[str, Any]:
    bsn = PATIENTS[given.get("patient", "jansen")]
    purpose = given.get("purpose", "TREAT")
    return {"bsn": bsn.value, "purpose": purpose, "practitioner": DOCTOR}


def _answered(reply: Reply) -> dict[str, Any]:
    """What came in a Bundle: how much, of what, and what is missing."""
    content = parse(reply.body)
    if reply.status != 200:
        return {"status": reply.status, "reason": _reason(content)}
    found = [e["resource"] for e in content.get("entry", ())]
    kinds = Counter(r["resourceType"] for r in found if r["resourceType"] != _OUTCOME)
    gaps = sum(r["resourceType"] == _OUTCOME and _lacks(r) for r in found)
    said = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
    return {"status": 200, "resources": kinds.total(), "gaps": gaps, "of": said}


def _lacks(outcome: Mapping[str, Any]) -> bool:
    """Whether it says that something is missing; that all is well is an outcome too."""
    return any(i["severity"] != "information" for i in outcome["issue"])


def _reason(content: Any) -> str:
    issues = content.get("issue", ()) if isinstance(content, dict) else ()
    return "; ".join(str(i.get("diagnostics", i.get("code", ""))) for i in issues)


ACTS: Mapping[str, Act] = {
    "act": _act,
    "ask": _ask,
    "cases": _cases,
    "collect": _collect,
    "evidence": _evidence,
    "fetch": _fetch,
    "find": _find,
    "locate": _locate,
    "look": _look,
    "messages": _messages,
    "offer": _offer,
    "push": _push,
    "pushed": _pushed,
    "record": _record,
    "review": _review,
}
