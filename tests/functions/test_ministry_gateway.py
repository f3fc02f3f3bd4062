"""Our services behind the ministry's own gateway, asked as its own client asks.

The client speaks to its gateway, which forwards with `x-gf-*` headers over plain HTTP on an
inner network. Source: generic functions §2.6 and §5; rules L34-L36, L44.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from conftest import Databases
from functions.gated import decoded
from functions.localization_cases import JANSEN
from functions.test_localization_role import certificates as certificates
from functions.test_localization_role import evaluator, settings
from functions.wire_cases import SERVER, identity

from openldn.app import role_of
from openldn.app.pseudonyms import PseudonymsSettings
from openldn.base.http import HttpClient, Reply, serving
from openldn.base.settings import check
from openldn.functions.pseudonyms import oprf

NVI, PRS = "https://nvi.example", "https://prs.example"
HOLDER, ASKER = "90000382", "90000101"
OIN, OTHER = "00000003123456780000", "00000003876543210000"


def upstream(audience: str, addresses: str = "127.0.0.1/32") -> dict[str, Any]:
    return {
        "upstream": {
            "insecure_trust_headers_from": [addresses],
            "audiences": [audience],
            "insecure_plain_http": True,
        },
        "organizations": [{"ura": ASKER, "oin": OIN}],
    }


def headers(ura: str, scope: str) -> dict[str, str]:
    """What the gateway tells the index."""
    return {
        "x-gf-sub": ura,
        "x-gf-act-sub": OTHER,
        "x-gf-audience": NVI,
        "x-gf-scope": scope,
        "x-gf-cert-type": "UZI",
        "x-gf-organization-name": "Ziekenhuis Oost",
        "x-gf-source-id": "ehr-7",
        "content-type": "application/json",
    }


@asynccontextmanager
async def served(role: str, chosen: Any) -> AsyncIterator[str]:
    async with role_of(role).build(chosen) as (one,):
        assert one.context is None
        async with serving(one.app, "127.0.0.1", 0, None) as port:
            yield f"http://127.0.0.1:{port}"


async def post(client: HttpClient, url: str, shown: dict[str, str], body: object) -> Reply:
    sent = json.dumps(body).encode()
    return await client.send("POST", url, headers=shown, body=sent, deadline=10)


async def pseudonym(maker: Any) -> dict[str, str]:
    """A token in the two parts in which the ministry's client sends it."""
    token = await maker.token(JANSEN)
    parts = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    return {"pseudonym": parts["evaluated_output"], "oprf_key": parts["blind_factor"]}


def run(databases: Databases, certificates: Path, case: Any, addresses: str) -> Any:
    async def with_index() -> Any:
        gateway = upstream(NVI, addresses)
        chosen = settings(certificates, await databases.fresh(), gateway=gateway, audiences=[NVI])
        async with served("localization", chosen) as origin:
            client = HttpClient()
            try:
                return await case(origin, client)
            finally:
                await client.close()

    return asyncio.run(with_index())


def test_the_ministrys_client_registers_and_localizes_at_our_index(
    databases: Databases, certificates: Path
) -> None:
    maker = evaluator(certificates)

    async def case(origin: str, client: HttpClient) -> None:
        holder, asker = headers(HOLDER, "nvi:create nvi:read"), headers(ASKER, "nvi:localize")
        made = await post(client, f"{origin}/registrations", holder, await pseudonym(maker))
        found = await post(client, f"{origin}/localize", asker, await pseudonym(maker))
        refused = await post(client, f"{origin}/localize", holder, await pseudonym(maker))
        open_ = await client.send("GET", f"{origin}/fhir/metadata", deadline=10)

        assert made.status == 200
        assert found.status == 200 and HOLDER in found.body.decode()
        assert refused.status == 403
        assert open_.status == 200

    run(databases, certificates, case, "127.0.0.0/8")


def test_from_another_address_the_headers_open_nothing(
    databases: Databases, certificates: Path
) -> None:
    maker = evaluator(certificates)

    async def case(origin: str, client: HttpClient) -> Reply:
        asker = headers(ASKER, "nvi:localize")
        return await post(client, f"{origin}/localize", asker, await pseudonym(maker))

    refused = run(databases, certificates, case, "10.0.0.0/8")

    assert refused.status == 401
    assert decoded(refused)["resourceType"] == "OperationOutcome"


def test_the_ministrys_client_asks_our_pseudonym_service(
    databases: Databases, certificates: Path
) -> None:
    blinded = oprf.blinded(oprf.identifier("999911120"), "x", oprf.fresh_scalar())
    body = {
        "encryptedPersonalId": oprf.encoded(blinded),
        "recipientOrganization": f"oin:{OTHER}",
        "recipientScope": "nvi",
    }
    whole = {
        "x-gf-sub": OIN,
        "x-gf-act-sub": OIN,
        "x-gf-act-cn": "praktijk.example",
        "x-gf-audience": PRS,
        "content-type": "application/json",
    }

    async def case() -> list[int]:
        shown = identity(certificates, SERVER)
        values = {
            "dsn": await databases.fresh(),
            "certificate": str(shown.certificate),
            "key_file": str(shown.key),
            "ca": str(shown.ca),
            "public": PRS,
            "secret_key": str(certificates / "pseudonyms.key"),
            "gateway": upstream(PRS),
        }
        chosen = check(values, PseudonymsSettings, "test")
        client = HttpClient()
        try:
            async with served("pseudonyms", chosen) as origin:
                tried = [whole, whole | {"x-gf-audience": NVI}, whole | {"x-gf-sub": OTHER}]
                tried += [{k: v for k, v in whole.items() if k != "x-gf-act-cn"}]
                url = f"{origin}/oprf/eval"
                return [(await post(client, url, shown, body)).status for shown in tried]
        finally:
            await client.close()

    # let in, the first finds that nobody registered a key for this recipient
    assert asyncio.run(case()) == [404, 403, 403, 403]
