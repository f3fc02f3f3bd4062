"""A participant who writes in the directory cannot speak for another participant.

Source: specification of addressing §7.8; rules D06-D13.
"""

import asyncio
from pathlib import Path

import pytest
from conftest import Databases
from node.small_network import CLINIC, HOSPITAL, Network, small_network

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, client_context, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.codec import dump, parse
from openldn.fhir.http import application
from openldn.fhir.model import Resource
from openldn.trust.certificates import check_peer

URA = "http://fhir.nl/fhir/NamingSystem/ura"
FHIR = {"content-type": "application/fhir+json", "accept": "application/fhir+json"}

# Read as the clinic's own by whoever looks at their end only.
DISGUISES = (
    f"Organization?identifier={URA}|{HOSPITAL},/Organization/ura-{CLINIC}",
    f"Organization?_id=ura-{HOSPITAL},/Organization/ura-{CLINIC}",
    f"Organization/ura-{HOSPITAL}?x=/Organization/ura-{CLINIC}",
    f"Organization/ura-{HOSPITAL}#/Organization/ura-{CLINIC}",
    f"Organization/ura-{HOSPITAL}/Organization/ura-{CLINIC}",
)


async def read(network: Network, path: str) -> Resource:
    client = network.client("clinic")
    reply = await client.send("GET", f"{network.addressing}{path}", headers=FHIR, deadline=10)
    found = parse(reply.body)
    assert isinstance(found, dict)
    return found


def entry(id: str, reference: str) -> Resource:
    return {
        "resourceType": "Endpoint",
        "id": id,
        "status": "active",
        "connectionType": {
            "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
            "code": "hl7-fhir-rest",
        },
        "managingOrganization": {"reference": reference},
        "payloadType": [
            {
                "coding": [
                    {
                        "system": "http://nl-gf.nl/CodeSystem/payload",
                        "code": "http://nictiz.nl/fhir/CapabilityStatement/bgz2017-servercapabilities",
                    }
                ]
            }
        ],
        "payloadMimeType": ["application/fhir+json; fhirVersion=3.0"],
        "address": "https://127.0.0.1:1/fhir/STU3",
    }


@pytest.mark.parametrize("reference", DISGUISES)
def test_an_endpoint_is_never_published_for_another(
    databases: Databases, pki: Path, reference: str
) -> None:
    async def story() -> None:
        async with small_network(databases, pki) as network:
            await network.node("hospital")
            standing = (await read(network, f"/Endpoint?organization=ura-{HOSPITAL}"))["total"]
            client = network.client("clinic")
            template = entry(f"ura-{CLINIC}-x", reference)
            single = f"{network.addressing}/Endpoint/ura-{CLINIC}-x"
            bundle = {
                "resourceType": "Bundle",
                "type": "transaction",
                "entry": [
                    {
                        "fullUrl": "urn:uuid:0b2d7f4e-6f5a-4c39-8a42-0f4b3f1f8a11",
                        "resource": template,
                        "request": {"method": "PUT", "url": f"Endpoint/ura-{CLINIC}-x"},
                    }
                ],
            }

            for method, url, body in (
                ("PUT", single, template),
                ("POST", f"{network.addressing}/Endpoint", template),
                ("POST", network.addressing, bundle),
            ):
                reply = await client.send(method, url, headers=FHIR, body=dump(body), deadline=10)
                assert reply.status in {400, 403, 422}, (method, reply.body[:300])

            found = await read(network, f"/Endpoint?organization=Organization/ura-{HOSPITAL}")
            assert found["total"] == standing

    asyncio.run(story())


def test_nothing_is_sent_to_an_address_without_tls(pki: Path) -> None:
    async def story() -> None:
        identity = Network(pki, None, None).identity("clinic")  # type: ignore[arg-type]
        client = HttpClient(client_context(identity, check_peer(HOSPITAL)))
        app = application([], role="test", new_id=new_uuid)
        async with serving(app, "127.0.0.1", 0, None) as port:
            with pytest.raises(LdnError) as refused:
                await client.send("GET", f"http://127.0.0.1:{port}/", deadline=5)
        await client.close()

        assert refused.value.issue is Issue.INCOMPLETE
        assert "nothing was sent" in refused.value.message

    asyncio.run(story())


def test_an_impostor_at_the_address_is_told_without_a_stack_in_the_log(
    databases: Databases, pki: Path
) -> None:
    async def story() -> None:
        unexpected: list[object] = []
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: unexpected.append(context))
        async with small_network(databases, pki) as network:
            client = HttpClient(client_context(network.identity("clinic"), check_peer(HOSPITAL)))
            with pytest.raises(LdnError, match="another organization answers"):
                await client.send("GET", f"{network.addressing}/metadata", deadline=5)
            await client.close()

        assert unexpected == []

    asyncio.run(story())
