"""Whom a node believes, at its one token endpoint: every dialect, and what ends it.

Source: trust and broker §5 (dialects D1-D7), §4 (revocation); decision 11.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import pytest
import structlog
from conftest import Databases
from node.small_network import (
    CLINIC,
    HOSPITAL,
    JANSEN,
    NAMES,
    Network,
    as_pkcs12,
    ask,
    authority,
    body_of,
    small_network,
)
from node.test_pull_between_nodes import hospital_records
from node.test_serve import FORM, about, requester
from trust.parties import Time, der_of
from trust.tokens.presenting import DELEGATION, did_jwk

from openldn.base.errors import LdnError
from openldn.base.http import HttpClient, Reply, client_context
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import parse
from openldn.fhir.identifiers import URA_SYSTEM
from openldn.trust.certificates import thumbprint
from openldn.trust.certificates.issue import (
    Subject,
    Term,
    issue_server,
    issue_signing,
    served_at,
)
from openldn.trust.credentials.definitions import shipped_policies
from openldn.trust.credentials.issue import (
    Making,
    holder_issuer,
    issue_credential,
    present,
)
from openldn.trust.credentials.model import Definition
from openldn.trust.parties import Requester
from openldn.trust.peers import profile
from openldn.trust.tokens.model import Shown
from openldn.trust.tokens.signer import Signer
from openldn.trust.tokens.speaking import (
    ByCertificate,
    Certified,
    Metadata,
    OnePresentation,
    Order,
    Plain,
    Speaker,
    TwoPresentations,
)

T = TypeVar("T")
DIALECTS = {  # dialect -> the profile of who speaks it
    "D1": "nuts-6",
    "D2": "twiin",
    "D3": "ig-2026",
    "D5": "minvws",
    "D7": "twiin",
}


@dataclass
class Clinic:
    """The clinic, able to ask the hospital in every dialect."""

    network: Network
    http: HttpClient

    @property
    def issuer(self) -> str:
        return self.network.nodes["hospital"].parts.settings.issuer

    async def form(self, dialect: str) -> dict[str, str]:
        """A good request in this dialect."""
        order = Order(
            Metadata(
                self.issuer,
                f"{self.issuer}/token",
                presentation_definition_endpoint=f"{self.issuer}/presentation_definition",
            ),
            requester(),
            profile(DIALECTS[dialect]),
            self.http,
            self.network.clock(),
            10.0,
        )
        return await self.speaker(dialect)(order)

    def speaker(self, dialect: str) -> Speaker:
        means, folder = self.network.nodes["clinic"].parts.means, self.network.pki / "clinic"
        rsa = self.network.pki / "clinic-rsa"  # the ministry's form is RS256 only
        speakers: dict[str, Callable[[], Speaker]] = {
            "D1": lambda: OnePresentation(means.present),
            "D2": lambda: Plain(means.signer, new_uuid),
            "D3": lambda: TwoPresentations(means.present, self.vendor, shipped_policies()),
            "D5": lambda: Certified(
                Signer.load(rsa / "signing.pem", rsa / "signing.key"),
                thumbprint(der_of(folder / "server.pem")),
                new_uuid,
            ),
            "D7": lambda: ByCertificate(str(CLINIC)),
        }
        return speakers[dialect]()

    async def vendor(
        self, definition: Definition, audience: str, seconds: int, who: Requester
    ) -> tuple[str, Mapping[str, Any]]:
        """The presentation of the vendor whom the clinic lets act for it."""
        giver, vendor = self.network.nodes["clinic"].parts.means.wallet.key, did_jwk()
        making = Making(self.network.clock, new_uuid)
        by = {"identifier": {"system": URA_SYSTEM, "value": str(CLINIC)}}
        content = {"id": vendor.did, "hasDelegation": {"delegatedBy": by}}
        given = issue_credential(holder_issuer(giver), DELEGATION, content, making)
        return present(vendor, [given], audience, seconds, making), {}

    async def ask(self, form: Mapping[str, str]) -> Reply:
        body = urlencode(form).encode()
        url = f"{self.issuer}/token"
        return await self.http.send("POST", url, headers=FORM, body=body, deadline=20)

    async def token(self, dialect: str) -> str:
        reply = await self.ask(await self.form(dialect))
        assert reply.status == 200, (dialect, reply.body, await self.why())
        return str(json.loads(reply.body)["access_token"])

    async def data(self, token: str) -> Reply:
        """The answer to a question with this token."""
        url = f"{self.network.nodes['hospital'].url}/fhir/STU3/Condition/_search"
        headers = {**FORM, "authorization": f"Bearer {token}"}
        body = urlencode([about()]).encode()
        return await self.http.send("POST", url, headers=headers, body=body, deadline=20)

    async def why(self) -> str:
        """The code of the last refusal, as the hospital keeps it."""
        parts = self.network.nodes["hospital"].parts
        await parts.dealings.written()
        told = await self.network.client("hospital").send(
            "GET", f"{parts.settings.public}/api/trust/refusals?count=1", deadline=10
        )
        refusals = json.loads(told.body)["refusals"]
        return str(refusals[0]["code"]) if refusals else ""

    async def dialect_of(self, token: str) -> str:
        server = self.network.nodes["hospital"].parts.server
        shown = Shown("bearer", token, der_of(self.network.pki / "clinic" / "server.pem"))
        return (await server.verify(shown)).dialect


async def started(databases: Databases, pki: Path, network: Network, **hospital: Any) -> Clinic:
    """A hospital and a clinic whose wallet is filled."""
    await network.node("hospital", **hospital)
    node = await network.node("clinic")
    async with asyncio.timeout(10):
        while not await node.parts.means.wallet.held():
            await asyncio.sleep(0.02)
    return Clinic(network, network.client("clinic"))


def visiting(
    databases: Databases, pki: Path, check: Callable[[Clinic], Awaitable[T]], **hospital: Any
) -> T:
    async def run() -> T:
        async with small_network(databases, pki) as network:
            return await check(await started(databases, pki, network, **hospital))

    return asyncio.run(run())


@pytest.fixture(scope="module", autouse=True)
def rsa_signing(pki: Path) -> None:
    """The clinic signs with RSA too, for those who take nothing else."""
    address = (pki / "address").read_text()
    subject = Subject(CLINIC, NAMES["clinic"][1], agb="06990001")
    issue_signing(pki / "clinic-rsa", subject, Term(utc_now), served_at(address, "rsa"))


def test_one_endpoint_takes_every_dialect_each_for_what_it_is(
    databases: Databases, pki: Path
) -> None:
    async def check(clinic: Clinic) -> dict[str, str]:
        return {d: await clinic.dialect_of(await clinic.token(d)) for d in DIALECTS}

    assert visiting(databases, pki, check) == {d: d for d in DIALECTS}


def test_data_are_given_to_a_person_whatever_the_dialect_that_names_them(
    databases: Databases, pki: Path
) -> None:
    async def check(clinic: Clinic) -> dict[str, tuple[int, str]]:
        await clinic.network.nodes["hospital"].keep(*hospital_records())
        found = {}
        for dialect in DIALECTS:
            reply = await clinic.data(await clinic.token(dialect))
            outcome = parse(reply.body)
            kind = outcome["resourceType"]
            found[dialect] = (reply.status, kind if reply.status == 200 else await clinic.why())
        return found

    found = visiting(databases, pki, check)

    assert {found[d] for d in ("D1", "D2", "D3")} == {(200, "Bundle")}
    # a certificate names no person, and the policy asks for one
    assert {found[d] for d in ("D5", "D7")} == {(403, "policy.by-a-person")}


@pytest.mark.parametrize("dialect", ["D1", "D2", "D3", "D5"])
def test_what_was_shown_once_is_not_taken_again(
    databases: Databases, pki: Path, dialect: str
) -> None:
    async def check(clinic: Clinic) -> tuple[int, int, str]:
        form = await clinic.form(dialect)
        first, second = await clinic.ask(form), await clinic.ask(form)
        return first.status, second.status, await clinic.why()

    first, second, why = visiting(databases, pki, check)

    assert (first, why) == (200, "assertion.once")
    assert second in {400, 401}


def test_a_dialect_that_is_not_set_is_not_taken_and_not_told(
    databases: Databases, pki: Path
) -> None:
    async def check(clinic: Clinic) -> tuple[list[str], dict[str, int]]:
        url = f"{clinic.issuer}/.well-known/oauth-authorization-server"
        told = json.loads((await clinic.http.send("GET", url, deadline=10)).body)
        statuses = {d: (await clinic.ask(await clinic.form(d))).status for d in ("D2", "D7")}
        return told["grant_types_supported"], statuses

    grants, statuses = visiting(databases, pki, check, dialects=("D2",))

    assert grants == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    assert statuses == {"D2": 200, "D7": 400}


def test_that_revocation_is_not_asked_is_told_at_start(databases: Databases, pki: Path) -> None:
    async def run(**settings: Any) -> list[str]:
        async with small_network(databases, pki) as network:
            with structlog.testing.capture_logs() as lines:
                await network.node("hospital", **settings)
        return [str(e["setting"]) for e in lines if e["event"] == "insecure"]

    assert "insecure_unchecked_revocation" not in asyncio.run(run())
    told = asyncio.run(run(insecure_unchecked_revocation=True))
    assert told.count("insecure_unchecked_revocation") == 1


@pytest.mark.parametrize("use", ["server", "signing"])
def test_a_certificate_that_is_revoked_gets_no_token_and_loses_those_it_has_within_a_minute(
    databases: Databases, tmp_path: Path, use: str
) -> None:
    clock = Time()

    async def run() -> tuple[int, str, float]:
        async with small_network(databases, tmp_path, clock) as network:
            clinic = await started(databases, tmp_path, network, revocation_every=0.05)
            token = await clinic.token("D2")
            assert (await clinic.data(token)).status == 200
            network.revoke("clinic", use)
            begun = clock()
            async with asyncio.timeout(60):
                while (await clinic.data(token)).status != 401:
                    clock.advance(1)
                    await asyncio.sleep(0.02)
            lasted = (clock() - begun).total_seconds()
            reply = await clinic.ask(await clinic.form("D2"))
            return reply.status, await clinic.why(), lasted

    with authority(tmp_path):
        status, why, lasted = asyncio.run(run())

    assert (status, why) == (401, "certificate.revoked")
    assert lasted <= 60


def test_without_its_lists_a_node_gives_no_token_and_never_waits_long(
    databases: Databases, tmp_path: Path
) -> None:
    async def run() -> tuple[int, str, float]:
        async with small_network(databases, tmp_path) as network:
            clinic = await started(databases, tmp_path, network, fetch_hosts=("localhost",))
            began = asyncio.get_running_loop().time()
            reply = await clinic.ask(await clinic.form("D7"))
            return reply.status, await clinic.why(), asyncio.get_running_loop().time() - began

    with authority(tmp_path):
        status, why, lasted = asyncio.run(run())

    assert (status, why) == (401, "certificate.status")
    assert lasted < 2


def test_a_renewed_certificate_is_shown_and_no_request_fails(
    databases: Databases, tmp_path: Path
) -> None:
    async def run(address: str) -> None:
        async with small_network(databases, tmp_path) as network:
            clinic = await started(databases, tmp_path, network)
            settings = network.nodes["hospital"].parts.settings
            shown = await leaf_at(network, settings.port)
            subject = Subject(HOSPITAL, NAMES["hospital"][1], agb="06990001")
            folder, shape = tmp_path / "hospital", served_at(address)
            issue_server(folder, subject, Term(utc_now), shape)
            signing = network.nodes["clinic"].parts.means.signing
            before = signing().thumbprint
            clinics = Subject(CLINIC, NAMES["clinic"][1], agb="06990001")
            issue_signing(tmp_path / "clinic", clinics, Term(utc_now), shape)
            async with asyncio.timeout(30):
                while await leaf_at(network, settings.port) == shown or (
                    signing().thumbprint == before
                ):
                    await clinic.token("D2")
            assert await leaf_at(network, settings.port) == der_of(folder / "server.pem")
            assert signing().ders[0] == der_of(tmp_path / "clinic" / "signing.pem")
            await clinic.token("D2")

    with authority(tmp_path) as address:
        asyncio.run(run(address))


async def leaf_at(network: Network, port: int) -> bytes:
    """The certificate that a new connection is shown."""
    context = client_context(network.identity("clinic"))
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        found = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        assert isinstance(found, bytes)
        return found
    finally:
        writer.close()
        await writer.wait_closed()


def test_a_node_whose_signing_key_is_in_pkcs12_is_believed(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    store, secret = as_pkcs12(pki / "clinic", tmp_path)

    async def run() -> list[str]:
        async with small_network(databases, pki) as network:
            await network.node("hospital")
            await network.node("clinic", signing_key=store, secret_file=secret)
            await network.nodes["hospital"].keep(*hospital_records())
            reply = await ask(
                network.client("clinic"), network.nodes["clinic"], body_of(HOSPITAL, JANSEN)
            )
            bundle = parse(reply.body)
            return [e["resource"]["resourceType"] for e in bundle["entry"]]

    kinds = asyncio.run(run())

    assert "Patient" in kinds
    assert "OperationOutcome" not in kinds


def test_a_password_that_does_not_open_the_key_keeps_the_node_from_starting(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    store, secret = as_pkcs12(pki / "clinic", tmp_path)
    secret.write_text("another password")

    async def run() -> None:
        async with small_network(databases, pki) as network:
            await network.node("clinic", signing_key=store, secret_file=secret)

    with pytest.raises(LdnError) as told:
        asyncio.run(run())

    assert "another password" not in str(told.value)


@pytest.mark.parametrize("method", ["jwk", "web"])
def test_a_wallet_is_believed_with_a_did_of_its_own_key_and_of_its_own_origin(
    databases: Databases, pki: Path, tmp_path: Path, method: str
) -> None:
    async def run() -> tuple[str, str]:
        async with small_network(databases, pki) as network:
            await network.node("hospital")
            plain = network.settings("clinic", "")
            origin = f"https://localhost:{plain.port}" if method == "web" else ""
            node = await network.node(
                "clinic",
                port=plain.port,
                public=plain.public,
                did_origin=origin,
                wallet_key=tmp_path / "wallet.key",
            )
            async with asyncio.timeout(10):
                while not await node.parts.means.wallet.held():
                    await asyncio.sleep(0.02)
            clinic = Clinic(network, network.client("clinic"))
            return node.parts.means.wallet.key.did, await clinic.dialect_of(
                await clinic.token("D1")
            )

    did, dialect = asyncio.run(run())

    assert did.startswith(f"did:{method}:")
    assert dialect == "D1"
