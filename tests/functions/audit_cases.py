"""One access of the seed story and a log to write it in; shared by the tests of audit."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count

from conftest import Databases

from openldn.base.sql import Pool
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn, Ura
from openldn.functions.audit.model import SERVED, Access, Source
from openldn.functions.audit.service import AuditLog
from openldn.trust.parties import Person, Requester

HOSPITAL, CLINIC = Ura("00000001"), Ura("00000002")
JANSEN, PIETERSEN = Bsn.parse("999900006"), Bsn.parse("999911120")
KEY = bytes(range(32))
MOMENT = datetime(2027, 3, 2, 9, 14, 7, 120000, tzinfo=UTC)
REQUESTER = Requester(
    organization=CLINIC,
    scopes=frozenset({"bgz"}),
    purpose="TREAT",
    organization_name="Kliniek De Linde",
    person=Person("000095254", "01.015", "A. de Vries"),
)
SERVED_JANSEN = Access(
    code=SERVED,
    started=MOMENT,
    ended=MOMENT + timedelta(milliseconds=535),
    outcome="0",
    requester=REQUESTER,
    holder=HOSPITAL,
    patient=JANSEN,
    exchange="bgz",
    pattern="pull",
    query=f"GET AllergyIntolerance?patient.identifier={BSN_SYSTEM}|999900006",
    correlation="4c1f0c52-51b8-4b0c-9a6c-6a1f1d7f2b10",
    trace="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    count=4,
    token="123e4567-e89b-12d3-a456-426614174000",
    peer="192.0.2.17",
    checks="TTTF",
    legal_basis="explicit-consent",
    policy="bgz|1",
    relation="declared-by-requester",
    consent="local-permit",
)
HOSPITAL_NODE = Source(HOSPITAL, "node-a.example", "https://node-a.example/fhir")


def log_of(pool: Pool, source: Source = HOSPITAL_NODE, patience: float = 5.0) -> AuditLog:
    """A log whose ids are a-1, a-2, … and whose clock stands still."""
    numbers = count(1)
    return AuditLog(pool, source, KEY, lambda: MOMENT, lambda: f"a-{next(numbers)}", patience)


@asynccontextmanager
async def audit_log(databases: Databases) -> AsyncIterator[AuditLog]:
    """A prepared log in a database of its own."""
    async with databases.pool() as pool:
        log = log_of(pool)
        await log.prepare()
        yield log
