"""C40-C42: what only some infrastructures ask."""

from openldn.base.errors import LdnError
from openldn.base.http import Reply
from openldn.base.runtime import new_uuid
from openldn.testbench.connection.model import Result, failed, judged, passed, skipped, warned
from openldn.testbench.connection.visit import OTHER, OURS, Visit

MISSING = "ERROR_CODE_ACCESS_TOKEN_MISSING"
WRONG_GROUP = "ERROR_CODE_WRONG_GROUP_ID_IN_TOKEN"


async def aorta(visit: Visit) -> Result:
    """C40."""
    url = visit.target.given.aorta
    if not url:
        return skipped("aorta")
    request = new_uuid()
    named = {
        "aorta-id": f"initialRequestID={new_uuid()}; requestID={request}",
        "aorta-version": "contentVersion=1.0.0; acceptVersion=1.0.0",
    }
    unnamed = dict.fromkeys(named, "")
    without, with_it = await visit.send(url, headers=unnamed), await visit.send(url, headers=named)
    echoed = request in with_it.headers.get("aorta-id", "")
    said = (
        f"without: status {without.status}; with: status {with_it.status}, "
        f"requestID {'comes back' if echoed else 'does not come back'}"
    )
    if without.status != 400 or with_it.status == 400:
        return failed(said)
    return passed(said) if echoed else warned(said)


async def inway(visit: Visit) -> Result:
    """C41."""
    given = visit.target.given
    if not given.fsc:
        return skipped("fsc")
    url = f"{visit.target.origin}/"
    without = await visit.send(url)
    said = f"without token: {_told(without)}"
    good = without.status == 401 and _code(without) == MISSING
    if not given.fsc_token:
        return judged(good, f"{said}; no --fsc-token, so another group was not tried")
    headers = {"fsc-authorization": f"Bearer {given.fsc_token}"}
    try:
        other = await visit.send_secret(url, headers, OURS)
    except LdnError as error:
        return skipped("untrusted", error.detail)
    said = f"{said}; of another group: {_told(other)}"
    return judged(good and other.status == 403 and _code(other) == WRONG_GROUP, said)


def _code(reply: Reply) -> str:
    return reply.headers.get("fsc-error-code", "")


def _told(reply: Reply) -> str:
    return f"status {reply.status} {_code(reply)[:60]}".rstrip()


async def bound(visit: Visit) -> Result:
    """C42: the token must count with our own certificate, else its refusal proves nothing."""
    given = visit.target.given
    if not (given.token and given.fhir and given.other and given.client):
        return skipped("token")
    url = f"{given.fhir}/Patient?_count=1"
    headers = {"authorization": f"Bearer {given.token}"}
    try:
        ours = await visit.send_secret(url, headers, OURS)
        other = await visit.send_secret(url, headers, OTHER)
    except LdnError as error:
        return skipped("untrusted", error.detail)
    said = f"own certificate: status {ours.status}; another: status {other.status}"
    if ours.status == 401:
        return skipped("token-refused", said)
    return judged(other.status == 401, said)


LOOKS = {"C40": aorta, "C41": inway, "C42": bound}
