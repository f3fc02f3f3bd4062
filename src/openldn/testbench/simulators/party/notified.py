"""Where a simulated party is notified, in the shapes that its dialects have."""

from urllib.parse import parse_qsl

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import Format, decode
from openldn.fhir.http import read_body
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.testbench.simulators.party import tasks
from openldn.testbench.simulators.party.believing import TOLD
from openldn.testbench.simulators.party.door import Door
from openldn.testbench.simulators.party.model import Heard
from openldn.testbench.simulators.party.party import Party

_STU3 = FhirVersion.STU3


def notified(party: Party, door: Door) -> list[BaseRoute]:
    """The shapes of notifications that this kind of party takes. Source: patterns §2.7."""

    async def body_of(request: Request) -> Resource:
        return decode(await read_body(request), Format.JSON, _STU3)

    async def with_task(request: Request) -> Response:
        """POST Task (S3): the notification of Twiin."""
        grant = await door.proven(request, *TOLD)
        heard = _told(party, grant.requester.organization, await body_of(request))
        known, fresh = party.hear(heard)
        status = party.manner.replies["S3" if fresh else "again"]
        location = {"location": f"{party.settings.notification}/Task/{known.id}"}
        return Response(b"", status, location, background=BackgroundTask(party.learn, known))

    async def taken_back(request: Request) -> Response:
        """PUT Task?identifier= (S6, Twiin-02): withdrawn; never a create."""
        grant = await door.proven(request, *TOLD)
        query = request.scope.get("query_string", b"").decode("latin-1")
        wanted = dict(parse_qsl(query)).get("identifier", "").rpartition("urn:uuid:")[2]
        _withdrawn(party, grant.requester.organization, wanted, await body_of(request))
        return Response(b"", party.manner.replies["S6"])

    async def empty(request: Request) -> Response:
        """POST /{id} without a body (S2): the notification of the eOverdracht."""
        grant = await door.proven(request, *TOLD)
        wire = party.wire_of("N")
        if wire is None or await read_body(request):
            raise LdnError(Issue.STRUCTURE, "no notification looks like this here")
        sender, task = grant.requester.organization, str(request.path_params["id"])
        known, _ = party.hear(Heard(party.new_id(), sender, wire, task))
        learn = BackgroundTask(party.learn, known)
        return Response(b"", party.manner.replies["S2"], background=learn)

    shapes = [("/notification/Task", "POST", with_task), ("/notification/Task", "PUT", taken_back)]
    if party.wire_of("N") is not None:
        shapes = [("/notification/{id}", "POST", empty)]
    return [door.around(path, [method], inner) for path, method, inner in shapes]


def _withdrawn(party: Party, sender: Ura, wanted: str, body: Resource) -> None:
    """Mark what this sender told us of as withdrawn; raises LdnError(not-found)."""
    fits = tasks.named(body) == wanted and body.get("status") == "cancelled"
    for heard in party.heard.values():
        if fits and heard.sender == sender and heard.identifier == wanted:
            heard.status = "cancelled"
            party.note("heard", sender.value, f"{heard.wire.dialect}: cancelled")
            return
    raise LdnError(Issue.NOT_FOUND, "no notification of yours has this identifier")


def _told(party: Party, sender: Ura, body: Resource) -> Heard:
    """What a Twiin notification says, checked. Source: exchange patterns §2.1; R01-R09."""
    codes = [c.get("code") for c in body.get("code", {}).get("coding", ())]
    requester = body.get("requester", {})
    told = {
        "code": codes == ["pull-notification"],
        "intent": body.get("intent") == "proposal",
        "status": body.get("status") == "requested",
        "identifier": bool(tasks.named(body)),
        "requester": tasks.ura_in(requester.get("onBehalfOf")) == sender.value,
        "owner": tasks.ura_in(body.get("owner")) == party.ura.value,
    }
    if wrong := [name for name, good in told.items() if not good]:
        text = f"a notification with another {', '.join(wrong)} than agreed"
        raise LdnError(Issue.BUSINESS_RULE, text)
    based = [b.get("reference", "") for b in body.get("basedOn", ())]
    task = based[0].removeprefix("Task/") if based else ""
    base = str(tasks.parameter(body, "authorization-base") or "")
    named = body.get("for", {}).get("identifier", {}).get("value", "")
    # one address takes both: who offers the BgZ sends a base to read with (R10)
    wire = party.manner.wire("bgz" if base else "eoverdracht") or party.manner.wires[0]
    identifier = tasks.named(body)
    return Heard(party.new_id(), sender, wire, task, identifier, base, str(named))
