"""The role `portal`: the pages of professionals, with those of operators and citizens beside."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from starlette.types import ASGIApp, Receive, Scope, Send

from openldn.access.administration import api as administration
from openldn.access.administration.desk import open_desk
from openldn.access.administration.settings import PREFIX as ADMINISTRATION
from openldn.access.administration.settings import AdministrationSettings
from openldn.access.citizen import api as citizen
from openldn.access.citizen.desk import open_desk as open_citizens
from openldn.access.citizen.reaching import reaching
from openldn.access.citizen.settings import PREFIX as CITIZENS
from openldn.access.citizen.settings import CitizenPages, CitizenSettings
from openldn.access.professional import api as professional
from openldn.access.professional.portal import portal as professional_portal
from openldn.access.professional.settings import PortalSettings
from openldn.app import Role, Served
from openldn.base.runtime import new_uuid, utc_now


class DoorsSettings(PortalSettings, frozen=True, kw_only=True):
    """Settings of the role `portal`: the pages of professionals, and the doors beside them."""

    citizens: CitizenPages = CitizenPages()  # the pages of citizens beside them


@asynccontextmanager
async def portal(settings: DoorsSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The portal of professionals; plain HTTP, to stand behind the provider's own front."""
    served: ASGIApp = professional.app(professional_portal(settings, utc_now, new_uuid))
    async with AsyncExitStack() as stack:
        if settings.insecure_simulated_operators:
            beside = _administration(settings)
            desk = await stack.enter_async_context(open_desk(beside, utc_now, new_uuid))
            served = _below(served, ADMINISTRATION, administration.app(desk))
        if settings.citizens.insecure_simulated_citizens:
            ports = reaching(utc_now, new_uuid)
            opened = open_citizens(_citizens(settings), utc_now, new_uuid, ports)
            own = await stack.enter_async_context(opened)
            served = _below(served, CITIZENS, citizen.app(own))
        yield (Served(served, settings.host, settings.port),)


def _administration(settings: DoorsSettings) -> AdministrationSettings:
    return AdministrationSettings(
        network=settings.network,
        host=settings.host,
        hosts=settings.hosts,
        idle_minutes=settings.idle_minutes,
        session_hours=settings.session_hours,
        insecure_simulated_operators=True,
    )


def _citizens(settings: DoorsSettings) -> CitizenSettings:
    return CitizenSettings(
        network=settings.network,
        host=settings.host,
        hosts=settings.hosts,
        people=settings.citizens.people,
        insecure_simulated_citizens=True,
    )


def _below(main: ASGIApp, prefix: str, other: ASGIApp) -> ASGIApp:
    """Two applications as one: everything below the prefix goes to the other."""

    async def chosen(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        below = path == prefix or path.startswith(f"{prefix}/")
        await (other if below else main)(scope, receive, send)

    return chosen


ROLE = Role(DoorsSettings, portal)
