"""All that a node has for broken glass, put together."""

from dataclasses import dataclass

from starlette.routing import BaseRoute

from openldn.base.runtime import Clock, NewId
from openldn.base.sql import Pool
from openldn.functions.audit.overview_api import MayRead
from openldn.functions.audit.service import AuditLog
from openldn.node.api import Own
from openldn.node.emergencies.api import emergency_routes, message_routes
from openldn.node.emergencies.declaring import Declaring
from openldn.node.emergencies.following import Following
from openldn.node.emergencies.reviewing import Reviewing
from openldn.node.emergencies.store import CaseStore


@dataclass(frozen=True)
class Emergencies:
    """Declaring, following and reviewing, for one organization."""

    declare: Declaring
    following: Following
    reviewing: Reviewing

    async def prepare(self) -> None:
        """Bring the tables up to date."""
        await self.reviewing.store.prepare()

    def routes(self, own: Own, may_read: MayRead) -> list[BaseRoute]:
        """The worklist of the organization, and the messages of patients."""
        return [
            *message_routes(self.reviewing, may_read),
            *emergency_routes(self.reviewing, own),
        ]


def emergencies_of(pool: Pool, log: AuditLog, clock: Clock, new_id: NewId) -> Emergencies:
    """Those of the organization whose log this is."""
    store = CaseStore(pool, log.source.holder)  # type: ignore[arg-type]
    return Emergencies(
        Declaring(store, clock, new_id),
        Following(log, store, new_id),
        Reviewing(store, log, clock),
    )
