"""The role `portal`: the pages of professionals, and the administration beside them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.types import ASGIApp, Receive, Scope, Send

from openldn.access.administration import api as administration
from openldn.access.administration.desk import open_desk
from openldn.access.administration.settings import PREFIX, AdministrationSettings
from openldn.access.professional import api as professional
from openldn.access.professional.portal import portal as professional_portal
from openldn.access.professional.settings import PortalSettings
from openldn.app import Role, Served
from openldn.base.runtime import new_uuid, utc_now


@asynccontextmanager
async def portal(settings: PortalSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The portal of professionals; plain HTTP, to stand behind the provider's own front."""
    care = professional.app(professional_portal(settings, utc_now, new_uuid))
    if not settings.insecure_simulated_operators:
        yield (Served(care, settings.host, settings.port),)
        return
    beside = AdministrationSettings(
        network=settings.network,
        host=settings.host,
        hosts=settings.hosts,
        idle_minutes=settings.idle_minutes,
        session_hours=settings.session_hours,
        insecure_simulated_operators=True,
    )
    async with open_desk(beside, utc_now, new_uuid) as desk:
        both = _below(care, PREFIX, administration.app(desk))
        yield (Served(both, settings.host, settings.port),)


def _below(main: ASGIApp, prefix: str, other: ASGIApp) -> ASGIApp:
    """Two applications as one: everything below the prefix goes to the other."""

    async def chosen(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        below = path == prefix or path.startswith(f"{prefix}/")
        await (other if below else main)(scope, receive, send)

    return chosen


ROLE = Role(PortalSettings, portal)
