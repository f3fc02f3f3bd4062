"""What is agreed in a fresh network: the index's key with the pseudonym service, and consents.

The fictitious patients consent to everything, so that there is something to see; each can be
changed in the pages of citizens.
"""

from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from openldn.base.errors import Issue, LdnError
from openldn.base.http import Reply
from openldn.base.runtime import Clock, NewId
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn
from openldn.functions.authentication.client import ServiceTokens, Target
from openldn.functions.consent.client_choices import Choices
from openldn.functions.consent.model import Choice, Decision
from openldn.functions.consent.persons import TOGETHER, Chooser, age, today
from openldn.functions.pseudonyms.model import INFO
from openldn.testbench.laptop.certify import leaf
from openldn.testbench.laptop.loading import client_of
from openldn.testbench.laptop.plan import Plan
from openldn.testbench.members import CONSENT, LOCALIZATION, Member
from openldn.testbench.placed import Placed

_DEADLINE = 20.0  # seconds for one call
_ADULT = date(1970, 1, 1)  # of whom no date of birth is known
_JSON = {"content-type": "application/json"}


async def register_index(plan: Plan, clock: Clock, new_id: NewId) -> None:
    """Let the pseudonym service know the key of the index; the same again changes nothing.

    Raises LdnError when it refuses.
    """
    client = client_of(plan, LOCALIZATION.key)
    try:
        target = _target(plan, LOCALIZATION, "pseudonyms")
        tokens = ServiceTokens(target, client, clock, new_id)
        headers = {**_JSON, "authorization": f"Bearer {await tokens.bearer('prs:read')}"}
        url = f"{plan.origin('pseudonyms')}/administration/keys"
        standing = _listed(await client.send("GET", url, headers=headers, deadline=_DEADLINE))
        key = _public(plan.pki / LOCALIZATION.key / "signing.pem")
        body = dump({"scope": [INFO["info-ura"].scope], "key_data": key})
        method = "PUT" if standing else "POST"
        address = f"{url}/{standing[0]}" if standing else url
        _require(
            await client.send(method, address, headers=headers, body=body, deadline=_DEADLINE),
        )
    finally:
        await client.close()


async def consent(plan: Plan, patients: dict[Bsn, date], clock: Clock, new_id: NewId) -> int:
    """Let each of these patients consent to everything who chose nothing yet; how many did."""
    client = client_of(plan, CONSENT.key)
    tokens = ServiceTokens(_target(plan, CONSENT, "consent"), client, clock, new_id)

    async def headers() -> dict[str, str]:
        return {"authorization": f"Bearer {await tokens.bearer('consent:choose')}"}

    door = Choices(client, plan.origin("consent"), headers, _DEADLINE)
    done = 0
    try:
        for patient, born in patients.items():
            if (await door.read(patient)).version == 0:
                years = age(born, today(clock()))
                by = Chooser.PARENT if years < TOGETHER else Chooser.SELF
                everything = [Choice(new_id(), Decision.PERMIT)]
                kept = await door.record(patient, born, by, everything, 0)
                if kept.code:  # a child: the parent confirms
                    await door.confirm(patient, kept.code)
                done += 1
    finally:
        await client.close()
    return done


def patients_in(placed: Iterable[Placed]) -> dict[Bsn, date]:
    """Everyone with a valid BSN among these, and when they were born."""
    return {bsn: born for each in placed for bsn, born in _people(each)}


def _people(placed: Placed) -> Iterator[tuple[Bsn, date]]:
    resource = placed.resource
    if resource.get("resourceType") != "Patient":
        return
    for identifier in resource.get("identifier", []):
        if identifier.get("system") == BSN_SYSTEM:
            try:
                yield Bsn.parse(str(identifier.get("value", ""))), _born(resource.get("birthDate"))
            except LdnError:
                continue  # test material with a number that is none: nobody can be asked for it


def _born(written: object) -> date:
    try:
        return date.fromisoformat(str(written))
    except ValueError:
        return _ADULT


def _target(plan: Plan, member: Member, service: str) -> Target:
    origin = plan.origin(service)
    return Target(origin, origin, member.ura)


def _public(certificate: Path) -> str:
    key = leaf(certificate).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")


def _listed(reply: Reply) -> list[str]:
    found = parse(_require(reply).body)
    return [str(key["id"]) for key in found] if isinstance(found, list) else []


def _require(reply: Reply) -> Reply:
    if reply.status not in {200, 201}:
        text = f"the pseudonym service answered {reply.status} to the index; see its log"
        raise LdnError(Issue.INCOMPLETE, text)
    return reply
