"""The simulated Zorgplatform over real HTTPS: what it gives, and what it can be made to do wrong.

Source: infrastructures §3 and the rules of simulators.
"""

import asyncio
import base64
import html
import json
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from trust.network import free_port
from trust.parties import HOSPITAL, NAMES, PATIENT, PRACTICE, World, requester

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply, client_context, serving
from openldn.base.runtime import new_uuid
from openldn.testbench.simulators import zorgplatform
from openldn.testbench.simulators.zorgplatform import Platform, ZorgplatformSettings
from openldn.trust.certificates.issue import Shape, Subject, Term, issue_signing
from openldn.trust.certificates.keys import Signing
from openldn.trust.evidence import Proof
from openldn.trust.peers import profile
from openldn.trust.saml.organizations import organizations
from openldn.trust.saml.read import SamlExpected, read
from openldn.trust.saml.sts import LARGEST, Account, StsClient
from openldn.trust.saml.variants import variant
from openldn.trust.trail import Trail

OID = "urn:oid:2.16.840.1.113883.2.4.3.77"
APP, LAUNCH = "https://app.example/zorgplatform", "https://app.example/launch"
WORKFLOW = "f8cab0af-901b-417e-8bb4-5198e2c47732"
USER = "jansen@2.16.840.1.113883.2.4.3.77"
FORM = {"party": OID, "user": USER, "name": "Jansen, A.", "workflow": WORKFLOW}


@dataclass
class Running:
    """The simulator, an application that is launched, and a node that asks."""

    world: World
    platform: Platform
    url: str
    browser: HttpClient  # without a client certificate
    client: HttpClient

    def asker(self) -> StsClient:
        sts = self.platform.sts
        account = Account(
            url=sts.url,
            audience=sts.audience,
            applies_to=self.platform.api,
            organization=PRACTICE,
            identifier=OID,
            profile=profile("zorgplatform"),
            signing=signing(self.world, "practice"),
            pinned=(sts.signing.chain[0],),
        )
        return StsClient(account, self.client, self.world.clock, new_uuid, deadline=2.0)

    def expected(self) -> SamlExpected:
        sts, key = self.platform.sts, signing(self.world, "app").key.raw_value
        assert isinstance(key, rsa.RSAPrivateKey)
        return SamlExpected(
            audience=APP,
            now=self.world.clock(),
            profile=profile("zorgplatform"),
            variant=variant("zorgplatform-sso"),
            pinned={sts.url: (sts.signing.chain[0],)},
            organization=organizations({OID: PRACTICE}),
            keys=(key,),
        )

    async def control(self, path: str, method: str = "GET", **body: Any) -> Any:
        content = json.dumps(body).encode() if method == "POST" else None
        headers = {"content-type": "application/json"}
        url = f"{self.url}/control/{path}"
        reply = await self.browser.send(method, url, headers=headers, body=content, deadline=5)
        assert reply.status == 200, reply.body
        return json.loads(reply.body)

    async def launch(self, **form: str) -> Reply:
        body = urlencode({**FORM, **form}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        url = f"{self.url}/sso/launch"
        return await self.browser.send("POST", url, headers=headers, body=body, deadline=5)

    async def posted(self, **form: str) -> bytes:
        """The SAMLResponse that the page posts to the application."""
        page = (await self.launch(**form)).body.decode()
        assert f'action="{LAUNCH}"' in page
        found = re.search(r'name="SAMLResponse" value="([^"]+)"', page)
        assert found is not None
        return base64.b64decode(html.unescape(found.group(1)))

    async def fhir(self, path: str, token: str) -> Reply:
        headers = {"authorization": f"SAML {token}"}
        return await self.client.send("GET", self.platform.api + path, headers=headers, deadline=5)


Case = Callable[[Running], Awaitable[Any]]


def signing(world: World, name: str) -> Signing:
    return _loaded(world.folder / name)


@cache
def _loaded(folder: Path) -> Signing:
    return Signing.load(folder / "signing.key", folder / "signing.pem")


def settings_of(world: World, port: int) -> ZorgplatformSettings:
    term = Term(world.clock)
    for name, ura in (("sim", HOSPITAL), ("practice", PRACTICE), ("app", PRACTICE)):
        shape = Shape(key="rsa", encipher=name == "app")
        if not (world.folder / name / "signing.pem").exists():
            issue_signing(world.folder / name, Subject(ura, NAMES[ura]), term, shape)
    url = f"https://127.0.0.1:{port}"
    party = {
        "identifier": OID,
        "organization": PRACTICE.value,
        "certificates": ["practice/signing.pem"],
        "applies_to": [f"{url}/fhir/V1/"],
        "launch": LAUNCH,
        "audience": APP,
        "receiver": "app/signing.pem",
    }
    (world.folder / "parties.json").write_text(json.dumps([party]))
    identity = world.identity(HOSPITAL)
    return ZorgplatformSettings(
        certificate=identity.certificate,
        key_file=identity.key,
        ca=identity.ca,
        signing_certificate=world.folder / "sim" / "signing.pem",
        signing_key=world.folder / "sim" / "signing.key",
        relying_parties=world.folder / "parties.json",
        public=url,
        port=port,
        tls_1_2=True,
    )


@asynccontextmanager
async def running(world: World) -> AsyncIterator[Running]:
    settings = settings_of(world, free_port())
    platform = Platform.of(settings, world.clock, new_uuid)
    app, context = zorgplatform.app(platform), zorgplatform.context_of(settings)
    browser = HttpClient(ssl.create_default_context(cafile=str(world.folder / "ca.pem")))
    client = HttpClient(client_context(world.identity(PRACTICE)), largest=LARGEST)
    async with serving(app, settings.host, settings.port, context):
        try:
            yield Running(world, platform, settings.public, browser, client)
        finally:
            await browser.close()
            await client.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of keys for all: RSA keys take long to make."""
    return tmp_path_factory.mktemp("zorgplatform")


@pytest.fixture
def world(folder: Path) -> World:
    return World(folder)


def run(world: World, case: Case) -> Any:
    async def with_simulator() -> Any:
        async with running(world) as at:
            return await case(at)

    return asyncio.run(with_simulator())


def test_a_launch_proves_professional_patient_and_workflow(world: World) -> None:
    async def case(at: Running) -> Proof:
        return read(await at.posted(patient=PATIENT.value), at.expected(), Trail())

    proof = run(world, case)

    assert (proof.organization, proof.patient) == (PRACTICE, PATIENT)
    assert proof.person is not None and proof.person.uzi == USER
    assert proof.authorization_base == WORKFLOW


def test_the_page_of_launches_lists_who_can_be_launched(world: World) -> None:
    async def case(at: Running) -> Reply:
        return await at.browser.send("GET", f"{at.url}/sso", deadline=5)

    page = run(world, case)

    assert OID in page.body.decode()
    assert "default-src 'none'" in page.headers["content-security-policy"]


REFUSALS = {
    "wrong-signature": "saml.signature",
    "wrong-audience": "saml.audience",
    "wrong-issuer": "saml.pinned",
    "expired": "saml.when",
    "not-yet": "saml.when",
    "unencrypted": "saml.encrypted",
    "no-tenant": "saml.name-id",
    "error-root": "saml.answer",
}


@pytest.mark.parametrize(("kind", "rule"), REFUSALS.items())
def test_a_launch_with_a_fault_is_refused_for_just_that(world: World, kind: str, rule: str) -> None:
    async def case(at: Running) -> tuple[bytes, bytes, SamlExpected]:
        await at.control("fault", "POST", kind=kind, at="sso")
        return await at.posted(), await at.posted(), at.expected()

    faulty, sound, expected = run(world, case)

    with pytest.raises(LdnError) as caught:
        read(faulty, expected, Trail())
    assert caught.value.detail == rule
    assert read(sound, expected, Trail()).organization == PRACTICE


def test_a_duplicate_launch_carries_what_was_used_before(world: World) -> None:
    async def case(at: Running) -> tuple[bytes, bytes, SamlExpected]:
        first = await at.posted()
        await at.control("fault", "POST", kind="duplicate", at="sso")
        return first, await at.posted(), at.expected()

    first, second, expected = run(world, case)

    used = [read(response, expected, Trail()).used for response in (first, second)]
    assert used[0] == used[1]


def test_a_token_opens_the_patient_of_the_token_and_no_other(world: World) -> None:
    patients = {
        PATIENT.value: {"resourceType": "Patient", "id": "1"},
        "999999151": {"resourceType": "Patient", "id": "2"},
    }
    tasks = {WORKFLOW: {"resourceType": "Task", "id": WORKFLOW}, "other": {"resourceType": "Task"}}

    async def case(at: Running) -> list[Reply]:
        await at.control("state", "POST", patients=patients, tasks=tasks)
        asked = requester(patient=PATIENT)
        token = (await at.asker().for_workflow(HOSPITAL, asked, WORKFLOW)).value
        query = "Patient?_include=Patient:general-practitioner"
        paths = (query, f"Task/{WORKFLOW}", "Task/other")
        return [await at.fhir(path, token) for path in paths]

    patient, task, other = run(world, case)

    [entry] = json.loads(patient.body)["entry"]
    assert entry["resource"]["id"] == "1"
    assert [task.status, other.status] == [200, 403]


def test_a_patient_is_not_there_for_a_moment_after_a_launch(world: World) -> None:
    async def case(at: Running) -> list[int]:
        resource = {"resourceType": "Patient", "id": "1"}
        await at.control("state", "POST", patients={PATIENT.value: resource})
        await at.control("fault", "POST", kind="patient-404", at="fhir", times=2)
        token = (await at.asker().token(HOSPITAL, "", requester(patient=PATIENT))).value
        return [(await at.fhir("Patient", token)).status for _ in range(3)]

    assert run(world, case) == [404, 404, 200]


@pytest.mark.parametrize("token", ["", "x", "PHg+", base64.b64encode(b"<a/>").decode()])
def test_fhir_without_a_believed_assertion_is_refused(world: World, token: str) -> None:
    async def case(at: Running) -> int:
        return (await at.fhir("Patient", token)).status

    assert run(world, case) == 401


STS_FAULTS = {
    "error-500": Issue.INCOMPLETE,
    "error-503": Issue.INCOMPLETE,
    "truncated": Issue.INCOMPLETE,
    "wrong-signature": Issue.INCOMPLETE,
    "wrong-audience": Issue.INCOMPLETE,
    "wrong-issuer": Issue.INCOMPLETE,
    "expired": Issue.INCOMPLETE,
}


@pytest.mark.parametrize(("kind", "issue"), STS_FAULTS.items())
def test_an_sts_with_a_fault_gives_no_token_and_the_next_time_it_does(
    world: World, kind: str, issue: Issue
) -> None:
    async def case(at: Running) -> Any:
        await at.control("fault", "POST", kind=kind, at="sts")
        client = at.asker()
        with pytest.raises(LdnError) as caught:
            await client.token(HOSPITAL, "", requester())
        assert caught.value.issue is issue
        return await client.token(HOSPITAL, "", requester())

    assert run(world, case).scheme == "SAML"


def test_a_slow_sts_is_given_up_in_time(world: World) -> None:
    async def case(at: Running) -> None:
        await at.control("fault", "POST", kind="delay", at="sts", seconds=1)
        client = replace(at.asker(), deadline=0.2)
        await client.token(HOSPITAL, "", requester())

    with pytest.raises(LdnError) as caught:
        run(world, case)
    assert caught.value.issue is Issue.TIMEOUT


def test_the_sts_demands_a_client_certificate_though_browsers_need_none(world: World) -> None:
    async def case(at: Running) -> None:
        await replace(at.asker(), client=at.browser).token(HOSPITAL, "", requester())

    with pytest.raises(LdnError, match="FailedAuthentication"):
        run(world, case)


def test_what_happened_can_be_asked_and_names_nobody(world: World) -> None:
    async def case(at: Running) -> tuple[Any, Any, Any]:
        await at.control("fault", "POST", kind="error-500", at="sts")
        with pytest.raises(LdnError):
            await at.asker().token(HOSPITAL, "", requester(patient=PATIENT))
        await at.asker().token(HOSPITAL, "", requester(patient=PATIENT))
        await at.posted(patient=PATIENT.value)
        events, state = await at.control("events"), await at.control("state")
        return events, state, await at.control("state", "DELETE")

    events, state, after = run(world, case)

    assert [e["name"] for e in events] == ["fault.used", "sts.issued", "sso.launched"]
    assert PATIENT.value not in json.dumps([events, state])
    assert "Jansen" not in json.dumps([events, state])
    assert state["parties"] == [OID] and after["faults"] == []


def test_a_fault_nobody_knows_is_refused(world: World) -> None:
    async def case(at: Running) -> int:
        body = b'{"kind": "meteor"}'
        headers = {"content-type": "application/json"}
        url = f"{at.url}/control/fault"
        return (await at.browser.send("POST", url, headers=headers, body=body, deadline=5)).status

    assert run(world, case) == 400


def test_a_party_that_takes_no_launches_is_told(world: World) -> None:
    async def case(at: Running) -> int:
        return (await at.launch(party="urn:oid:1.2.3")).status

    assert run(world, case) == 404


def test_a_file_of_parties_that_cannot_be_used_is_named(world: World) -> None:
    settings = settings_of(world, free_port())
    settings.relying_parties.write_text('[{"identifier": "x"}]')

    with pytest.raises(LdnError, match=re.escape(str(settings.relying_parties))):
        Platform.of(settings, world.clock, new_uuid)


def test_what_is_not_published_is_marked_so() -> None:
    path = Path(zorgplatform.__file__).parent / "behavior.json"
    behaviors = json.loads(path.read_text())["behaviors"]

    assert all(isinstance(b["verified"], bool) and b["source"] for b in behaviors)
    [renegotiation] = [b for b in behaviors if "renegotiation" in b["what"]]
    assert not renegotiation["verified"] and renegotiation["simulated"].startswith("not")
