"""The directory on the wire: FHIR R4 (IHE mCSD), read by every party, written by the owner only.

Source: specification of addressing §7.2, §7.8; rules D01-D03, D06-D14.
"""

from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.routing import BaseRoute

from openldn.base.runtime import Clock
from openldn.fhir.api import Api, fhir_routes
from openldn.fhir.api.model import Tell, nobody
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.model import Place
from openldn.fhir.records.store import Records
from openldn.functions.addressing.gate import DIRECTORY, Gate
from openldn.functions.addressing.profiles import TYPES
from openldn.trust.signatures import Verifier

LARGEST_PAGE = 500
# A write is dated before it is committed. Who follows us from a moment this long ago misses none.
WRITING = timedelta(seconds=60)

__all__ = ["DIRECTORY", "Gate", "routes"]


def routes(  # noqa: PLR0913  (what a directory is made of)
    records: Records,
    clock: Clock,
    public: str,
    prefix: str = "/fhir",
    *,
    signatures: Verifier | None = None,
    strict: bool = False,
    tell: Tell = nobody,
) -> list[BaseRoute]:
    """The routes of the directory; `public` is the base URL the world sees.

    `signatures` verifies what is signed; `strict` asks the whole of the national profiles;
    `tell` hears of what was written before its writer does.
    """

    def moment() -> datetime:
        return clock() - WRITING

    api = Api(
        records,
        FhirVersion.R4,
        place_of=_place,
        guard=Gate(records, clock, signatures, strict),
        types=TYPES | {"Provenance"},
        public=public,
        most=LARGEST_PAGE,
        stamp=moment,
        tell=tell,
    )
    return fhir_routes(api, prefix)


async def _place(request: Request) -> Place:
    return DIRECTORY
