"""Registration in a process of its own, which the tests kill: DSN and FHIR base of the index."""

import asyncio
import sys
from datetime import timedelta

from functions.localization_cases import HOSPITAL, Pseudonyms, client_of

from openldn.base.http import HttpClient
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import Pool, open_pool
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.model import Place
from openldn.fhir.records.store import Records
from openldn.functions.localization.client import LocalizationClient
from openldn.functions.localization.registering.records import RecordHoldings
from openldn.functions.localization.registering.service import Registering
from openldn.functions.localization.registering.store import Wishes

PLACE = Place(HOSPITAL.value, FhirVersion.R4)
LEASE = timedelta(seconds=2)


def registering(pool: Pool, client: LocalizationClient) -> Registering:
    """Registration of the hospital, from its record store."""
    records = Records(pool, utc_now, new_uuid)
    holdings = RecordHoldings(records, [PLACE], utc_now, any_will_do=not client.categorized)
    wishes = Wishes(pool, HOSPITAL)
    return Registering(
        wishes,
        holdings,
        client,
        utc_now,
        client.categorized,
        lease=LEASE.total_seconds(),
        every=0.02,
    )


async def _run(dsn: str, base: str, dialect: str) -> None:
    pool, http = await open_pool(dsn), HttpClient(None)
    client = client_of(http, base, HOSPITAL, Pseudonyms(), dialect)
    await registering(pool, client).run()


if __name__ == "__main__":
    asyncio.run(_run(*sys.argv[1:]))
