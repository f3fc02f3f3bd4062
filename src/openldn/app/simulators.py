"""The role `simulators`: what stands in for others in a test, in one process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from openldn.app import Role, Served
from openldn.app.authority import AuthoritySettings, authority
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import Settings
from openldn.testbench.simulators.dezi import api as dezi_api
from openldn.testbench.simulators.dezi.settings import DeziSettings
from openldn.testbench.simulators.zorgplatform import api as zorgplatform_api
from openldn.testbench.simulators.zorgplatform.model import ZorgplatformSettings
from openldn.testbench.simulators.zorgplatform.platform import Platform


class SimulatorsSettings(Settings, frozen=True):
    """Settings of the role `simulators`: what stands in for others in a test, in one process."""

    authority: AuthoritySettings
    zorgplatform: ZorgplatformSettings
    dezi: DeziSettings


@asynccontextmanager
async def simulators(settings: SimulatorsSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The authority, Zorgplatform and the sign-in provider, simulated."""
    told, platform = settings.zorgplatform, settings.dezi
    zorgplatform = zorgplatform_api.app(Platform.of(told, utc_now, new_uuid))
    dezi = dezi_api.app(dezi_api.simulator(platform, utc_now, new_uuid))
    async with authority(settings.authority) as served:
        yield (
            *served,
            Served(zorgplatform, told.host, told.port, zorgplatform_api.context_of(told)),
            Served(dezi, platform.host, platform.port),
        )


ROLE = Role(SimulatorsSettings, simulators)
