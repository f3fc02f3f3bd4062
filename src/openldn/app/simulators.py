"""The role `simulators`: what stands in for others in a test, in one process."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from openldn.app import Role, Served
from openldn.app.authority import AuthoritySettings, authority
from openldn.app.common import secured
from openldn.base.http import Identity
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import Settings
from openldn.fhir.identifiers import bsn_reader
from openldn.testbench.simulators.dezi import api as dezi_api
from openldn.testbench.simulators.dezi.settings import DeziSettings
from openldn.testbench.simulators.party import opened as party
from openldn.testbench.simulators.party.settings import PartySettings
from openldn.testbench.simulators.sbvz import api as sbvz_api
from openldn.testbench.simulators.sbvz.register import SimulatedRegister
from openldn.testbench.simulators.sbvz.settings import SbvzSettings
from openldn.testbench.simulators.zorgplatform import api as zorgplatform_api
from openldn.testbench.simulators.zorgplatform.model import ZorgplatformSettings
from openldn.testbench.simulators.zorgplatform.platform import Platform


class SimulatorsSettings(Settings, frozen=True):
    """Settings of the role `simulators`: what stands in for others in a test, in one process."""

    authority: AuthoritySettings
    zorgplatform: ZorgplatformSettings
    dezi: DeziSettings
    sbvz: SbvzSettings | None = None  # None: no register of people
    parties: tuple[PartySettings, ...] = ()  # care providers with existing systems


@asynccontextmanager
async def simulators(settings: SimulatorsSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The authority, Zorgplatform, the sign-in provider and the register of people, simulated."""
    told, platform = settings.zorgplatform, settings.dezi
    zorgplatform = zorgplatform_api.app(Platform.of(told, utc_now, new_uuid))
    dezi = dezi_api.app(dezi_api.simulator(platform, utc_now, new_uuid))
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(authority(settings.authority))
        parties = [await stack.enter_async_context(_party(p)) for p in settings.parties]
        yield (
            *served,
            *parties,
            Served(zorgplatform, told.host, told.port, zorgplatform_api.context_of(told)),
            Served(dezi, platform.host, platform.port),
            *([register_of_people(settings.sbvz)] if settings.sbvz else []),
        )


@asynccontextmanager
async def _party(settings: PartySettings) -> AsyncIterator[Served]:
    async with party.opened(settings, utc_now, new_uuid) as app:
        yield Served(app, settings.host, settings.port, party.context_of(settings))


def register_of_people(settings: SbvzSettings) -> Served:
    """SBV-Z, simulated: the same seed gives the same people."""
    register = SimulatedRegister.fictitious(settings.people, settings.seed, utc_now().date())
    loose = settings.insecure_accept_untested_bsn
    app = sbvz_api.app(register, utc_now, new_uuid, bsn_reader(insecure_accept_untested_bsn=loose))
    context = secured(Identity(settings.certificate, settings.key_file, settings.ca))
    return Served(app, settings.host, settings.port, context)


ROLE = Role(SimulatorsSettings, simulators)
