"""Brings resources into the nodes' records, each through the door its own systems use."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Identity, client_context
from openldn.fhir.codec import dump, parse
from openldn.fhir.model import FhirVersion, Resource
from openldn.testbench.laptop.plan import Plan
from openldn.testbench.placed import Placed

SIZE = 250  # resources in one transaction
DEADLINE = 120.0  # seconds for one transaction

Shelf = tuple[str, FhirVersion]  # provider's key, FHIR version


async def load(plan: Plan, placed: Iterable[Placed], say: Callable[[int], None]) -> int:
    """Put these resources in the records of their providers; how many there were.

    Each is written by its own id, so that loading twice changes nothing. `say` hears the running
    count. Raises LdnError that names the provider; what was acknowledged stays.
    """
    shelves = _sorted(placed)
    done = 0

    async def one(shelf: Shelf, resources: list[Resource]) -> None:
        nonlocal done
        async for count in _put(plan, shelf, resources):
            done += count
            say(done)

    try:
        async with asyncio.TaskGroup() as group:
            for shelf, resources in shelves.items():
                group.create_task(one(shelf, list(resources.values())))
    except* LdnError as failures:
        raise failures.exceptions[0] from None
    return done


def _sorted(placed: Iterable[Placed]) -> dict[Shelf, dict[str, Resource]]:
    shelves: dict[Shelf, dict[str, Resource]] = {}
    for each in placed:
        url = f"{each.resource['resourceType']}/{each.resource['id']}"
        shelves.setdefault((each.member, each.fhir), {})[url] = each.resource
    return shelves


async def _put(plan: Plan, shelf: Shelf, resources: list[Resource]) -> AsyncIterator[int]:
    member, fhir = shelf
    client = client_of(plan, member)
    try:
        for start in range(0, len(resources), SIZE):
            some = resources[start : start + SIZE]
            await _transaction(client, f"{plan.origin(member)}/station/{fhir}", some)
            yield len(some)
    except LdnError as error:
        raise LdnError(error.issue, f"loading into {member} ({fhir}): {error.message}") from error
    finally:
        await client.close()


async def _transaction(client: HttpClient, base: str, resources: list[Resource]) -> None:
    entries = [_entry(resource) for resource in resources]
    body = dump({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    headers = {"content-type": "application/fhir+json", "prefer": "return=minimal"}
    reply = await client.send("POST", base, headers=headers, body=body, deadline=DEADLINE)
    if reply.status != 200:
        raise LdnError(Issue.INCOMPLETE, _reason(reply.body) or f"status {reply.status}")


def _entry(resource: Resource) -> Resource:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": url}}


def _reason(body: bytes) -> str:
    try:
        issues = parse(body)["issue"]
        return str(issues[0].get("diagnostics", ""))
    except (LdnError, LookupError, TypeError):
        return ""


def client_of(plan: Plan, member: str) -> HttpClient:
    """A client that shows this member's certificate."""
    folder = plan.pki / member
    identity = Identity(folder / "server.pem", folder / "server.key", plan.pki / "ca.pem")
    return HttpClient(client_context(identity))
