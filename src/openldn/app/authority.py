"""The role `authority`: where a test authority tells what it revoked."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from openldn.app import Role, Served
from openldn.app.common import HEALTH
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import Settings
from openldn.fhir.http import application
from openldn.trust.certificates import api


class AuthoritySettings(Settings, frozen=True):
    """Settings of the role `authority`, where a test authority tells what it revoked."""

    folder: Path  # of the authority, as `openldn pki` makes it
    host: str = "127.0.0.1"
    port: int = 8080


@asynccontextmanager
async def authority(settings: AuthoritySettings) -> AsyncIterator[tuple[Served, ...]]:
    """The lists and answers of a test authority; plain HTTP, for they are signed themselves."""
    routes = [HEALTH, *api.routes(settings.folder, utc_now)]
    app = application(routes, role="authority", new_id=new_uuid)
    yield (Served(app, settings.host, settings.port),)


ROLE = Role(AuthoritySettings, authority)
