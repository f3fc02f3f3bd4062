"""Simulated parties that do not take part this time, taken out of the directory."""

from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Ura
from openldn.functions.addressing.client import DirectoryClient
from openldn.functions.addressing.model import Organization
from openldn.testbench.laptop.loading import client_of
from openldn.testbench.laptop.plan import Plan
from openldn.testbench.members import PARTIES, Member


async def take_out(plan: Plan, clock: Clock) -> list[str]:
    """Let the directory tell of no party that took part before and is not there now; who it was.

    Each leaves with its own certificate, for nobody may write in the entry of another. Raises
    LdnError when the directory refuses.
    """
    gone = [m for m in PARTIES if m not in plan.parties and (plan.pki / m.key).exists()]
    return [member.name for member in gone if await _left(plan, member, clock)]


async def _left(plan: Plan, member: Member, clock: Clock) -> bool:
    client = client_of(plan, member.key)
    try:
        directory = DirectoryClient(client, f"{plan.origin('addressing')}/fhir/R4", clock)
        ura = Ura.parse(member.ura)
        if not await directory.known(ura):
            return False
        entry = Organization(ura, member.name, active=True, kind=member.kind, type=member.type)
        await directory.withdraw(entry)
        return True
    finally:
        await client.close()
