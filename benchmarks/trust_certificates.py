"""What believing a certificate costs: warm, with the path built anew, and from nothing."""

import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509 import ReasonFlags
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import LdnError
from openldn.base.http import HttpClient, serving
from openldn.base.runtime import utc_now
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates.api import routes
from openldn.trust.certificates.belief import Belief
from openldn.trust.certificates.chain import Anchors
from openldn.trust.certificates.issue import (
    Shape,
    Subject,
    create_authority,
    issue_signing,
    served_at,
    signed_list,
)
from openldn.trust.documents import Documents, hosts
from openldn.trust.trail import Trail

WARM, COLD, LONG = 5_000, 30, 20_000  # rounds, rounds, entries of a long list
Ask = Callable[[], Awaitable[object]]


def run() -> list[dict[str, Any]]:
    """One row per figure; `target` is what it may be at most."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measured(Path(folder)))


async def _measured(folder: Path) -> list[dict[str, Any]]:
    long: list[bytes] = []

    async def listed(request: Request) -> Response:
        return Response(long[0])

    app = Starlette(routes=[*routes(folder), Route("/long", listed)])
    client = HttpClient()
    async with serving(app, "127.0.0.1", 0, None) as port:
        address = f"http://127.0.0.1:{port}"
        authority = create_authority(folder, address=address)
        issue_signing(folder / "a", Subject(Ura("90000382"), "A"), shape=served_at(address))
        other = Shape(crl=f"{address}/long")
        issue_signing(folder / "b", Subject(Ura("90000382"), "B"), shape=other)
        now = utc_now()
        many = {2**100 + n: (now, ReasonFlags.unspecified) for n in range(LONG)}
        long.append(signed_list(authority, many, (now, now + timedelta(days=1))))
        rows = await _rows(folder, client)
        await client.close()
    return rows


async def _rows(folder: Path, client: HttpClient) -> list[dict[str, Any]]:
    anchors, issuing = (Anchors.load(folder / f"{n}.pem") for n in ("ca", "issuing"))
    files = (folder / name / "signing.pem" for name in "ab")
    a, b = (x509.load_pem_x509_certificates(file.read_bytes()) for file in files)

    def fresh(trusted: Anchors) -> Belief:
        return Belief(trusted, Documents(lambda _: client, hosts({"127.0.0.1"}), utc_now), utc_now)

    belief = fresh(anchors)
    await belief.believe(a, Trail())
    warm = await times(lambda: belief.believe(a, Trail()), WARM)
    built = await times(lambda: asyncio.to_thread(anchors.path, a, utc_now()), 200)
    cold = await times(lambda: fresh(anchors).believe(a, Trail()), COLD)
    ocsp = await times(lambda: fresh(issuing).believe(a, Trail(), "crl-or-ocsp"), COLD)
    long = await times(lambda: _patient(fresh(issuing), b), 3)
    return [
        row("certificates: chain and revocation, warm, median", statistics.median(warm), 1.0),
        row("certificates: chain and revocation, warm, p99", quantile(warm), 1.0),
        row("certificates: path built anew (2 above the leaf), median", statistics.median(built)),
        row("certificates: cold, two lists fetched and examined, median", statistics.median(cold)),
        row("certificates: cold, crl-or-ocsp to an intermediate, median", statistics.median(ocsp)),
        row(f"certificates: cold, list of {LONG} entries, median", statistics.median(long)),
    ]


async def _patient(belief: Belief, chain: list[x509.Certificate]) -> None:
    """Believe as soon as the long list is examined: a caller would be refused and come again."""
    for _ in range(20):
        with contextlib.suppress(LdnError):
            await belief.believe(chain, Trail())
            return


async def times(work: Ask, rounds: int) -> list[float]:
    """Milliseconds of each round."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        await work()
        found.append((time.perf_counter() - began) * 1000)
    return found


def quantile(values: list[float]) -> float:
    """The value that 99 in 100 stay below."""
    return sorted(values)[int(len(values) * 0.99)]


def row(name: str, value: float, target: float | None = None) -> dict[str, Any]:
    """A figure in milliseconds."""
    return {"name": name, "value": round(value, 3), "unit": "ms", "target": target}
