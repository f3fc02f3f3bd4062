"""The simulated provider: its control addresses, its own refusals, and what it never tells."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec
from trust.people.provider import BACK, OWN, Signing, signing
from trust.people.register import in_loop

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import check
from openldn.fhir.codec import parse
from openldn.fhir.identifiers import Ura
from openldn.testbench.members import MEMBERS
from openldn.testbench.simulators.dezi.api import simulator
from openldn.testbench.simulators.dezi.settings import DeziSettings, public_key
from openldn.testbench.simulators.dezi.state import FAULTS
from openldn.trust import jose
from openldn.trust.certificates.issue import Subject, create_authority, issue_server
from openldn.trust.people.oidc import ASSERTION_TYPE
from openldn.trust.trail import Trail

PEM, PKCS8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
SPKI, OPEN = serialization.PublicFormat.SubjectPublicKeyInfo, serialization.NoEncryption()


@in_loop
async def test_control_shows_what_is_remembered_and_turns_faults_on_and_off() -> None:
    async with signing() as made:
        shown = await made.control("fault", fault="slow", seconds=1.5)
        assert shown["faults"] == {"slow": 1.5}
        assert set(shown["known_faults"]) == set(FAULTS)
        assert f"{MEMBERS[0].key}.1" in shown["people"]

        assert (await made.control("fault", fault="slow", on=False))["faults"] == {}
        await made.control("fault", fault="broken")
        assert (await made.control("state", calm=True, shape="max"))["faults"] == {}
        assert made.state.shape == "max"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("fault", {"fault": "unheard"}),
        ("fault", {"fault": "slow", "seconds": "x"}),
        ("fault", {"fault": "slow", "seconds": True}),
        ("fault", {"fault": "slow", "seconds": 61}),
        ("state", {"shape": "round"}),
        ("state", {"shape": ["dezi"]}),
    ],
)
@in_loop
async def test_control_refuses_what_it_does_not_know(path: str, value: dict[str, Any]) -> None:
    async with signing() as made:
        told = await made.control(path, **value)

        assert told["resourceType"] == "OperationOutcome"
        assert made.state.faults == {}


@in_loop
async def test_a_statement_can_be_revoked_by_its_id_or_by_person() -> None:
    async with signing() as made:
        found = await made.signed_in()
        url = f"{made.state.origin}/status/v1/verklaring/{found.told['verklaring_id']}"
        assert parse((await made.get(url)).body)["status"] == "actief"

        by_id = await made.control("revoke", verklaring_id=found.told["verklaring_id"])
        by_person = await made.control("revoke", person="hospital.1")

        assert by_id == by_person == {"revoked": 1}
        assert parse((await made.get(url)).body)["status"] == "ingetrokken"
        assert (await made.get(f"{url}0")).status == 404
        assert (await made.control("revoke"))["revoked"] == 0


@in_loop
async def test_tokens_and_codes_that_are_unknown_or_too_old_give_nothing() -> None:
    async with signing() as made:
        await made.signed_in()
        token = next(iter(made.state.tokens))

        async def asked(header: str) -> int:
            url, headers = f"{made.state.origin}/userinfo", {"authorization": header}
            return (await made.http.send("GET", url, headers=headers, deadline=5)).status

        assert await asked(f"Bearer {token}") == 200
        assert await asked(f"Basic {token}") == await asked("Bearer x") == await asked("") == 401
        made.clock.later(301)
        assert await asked(f"Bearer {token}") == 401


@in_loop
async def test_a_page_that_was_used_or_is_too_old_sends_nobody_back() -> None:
    async with signing() as made:
        assert (await made.post("/authorize", request="x", person="hospital.1")).status == 400
        started = await made.begin()
        await made.get(started.url)
        request = next(iter(made.state.requests))
        made.clock.later(601)

        late = await made.post("/authorize", request=request, person="hospital.1")

        assert late.status == 400
        assert made.state.codes == {}


@in_loop
async def test_a_person_who_is_not_listed_cannot_be_chosen() -> None:
    async with signing() as made:
        started = await made.begin()
        await made.get(started.url)
        request = next(iter(made.state.requests))

        assert (await made.post("/authorize", request=request, person="x.1")).status == 400


@in_loop
async def test_memory_is_bounded_and_the_oldest_makes_room() -> None:
    async with signing() as made:
        places: dict[str, int] = {}
        names = [made.state.keep(places, n) for n in range(1_005)]

        assert len(places) == 1_000
        assert names[4] not in places and names[5] in places


@in_loop
async def test_every_page_says_test_and_forbids_what_is_foreign() -> None:
    async with signing() as made:
        started = await made.begin()
        for url in (started.url, f"{made.state.origin}/authorize?client_id=unknown"):
            page = await made.get(url)
            policy = page.headers["content-security-policy"]
            assert b'<p class="test"><strong>TEST</strong>' in page.body
            assert "default-src 'none'" in policy and "unsafe" not in policy


def key_file(folder: Path, body: bytes) -> Path:
    path = folder / "client.pem"
    path.write_bytes(body)
    return path


def test_the_key_of_the_client_may_come_public_or_private(tmp_path: Path) -> None:
    raw = ec.generate_private_key(ec.SECP256R1())
    expected = jose.jwk_thumbprint(jose.key_of(raw))
    for body in (raw.private_bytes(PEM, PKCS8, OPEN), raw.public_key().public_bytes(PEM, SPKI)):
        assert jose.jwk_thumbprint(public_key(key_file(tmp_path, body))) == expected


def test_a_key_that_cannot_serve_is_named_at_the_start(tmp_path: Path) -> None:
    weak = dsa.generate_private_key(2048).public_key().public_bytes(PEM, SPKI)
    for body in (b"", b"-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n", weak):
        with pytest.raises(LdnError) as caught:
            public_key(key_file(tmp_path, body))
        assert caught.value.issue is Issue.INVALID
        assert "client_key" in caught.value.message


def test_its_settings_make_a_provider_of_the_test_members(tmp_path: Path) -> None:
    raw = ec.generate_private_key(ec.SECP256R1())
    path = key_file(tmp_path, raw.private_bytes(PEM, PKCS8, OPEN))
    given = {
        "public": "http://127.0.0.1:8402",
        "client_id": "portal",
        "client_key": str(path),
        "redirect_uris": ["http://127.0.0.1:8400/sign-in/return"],
    }

    state = simulator(check(given, DeziSettings, "test"), utc_now, new_uuid)

    assert [node.ura for node, _ in state.staff] == [m.ura for m in MEMBERS]
    assert state.statement_lifetime == timedelta(hours=8)
    with pytest.raises(LdnError):
        simulator(check(given | {"shape": "round"}, DeziSettings, "test"), utc_now, new_uuid)


def assertion(made: Signing, header: dict[str, Any] | None = None, **other: Any) -> str:
    moment = int(made.clock().timestamp())
    plain = {"iss": "portal", "sub": "portal", "aud": made.state.origin, "jti": new_uuid()}
    claims = {**plain, "iat": moment, "exp": moment + 60, **other}
    return jose.sign(claims, OWN, "ES256", header)


REFUSALS: tuple[tuple[dict[str, Any], dict[str, str], str], ...] = (
    ({}, {"client_assertion_type": "urn:x"}, "invalid_client"),
    ({}, {"client_assertion": "x.y.z"}, "invalid_client"),
    ({"sub": "unknown", "iss": "unknown"}, {}, "invalid_client"),
    ({"iss": "another"}, {}, "invalid_client"),
    ({"aud": "https://another.example"}, {}, "invalid_client"),
    ({"exp": 1}, {}, "invalid_client"),
    ({"exp": 2**40}, {}, "invalid_client"),
    ({"exp": "soon"}, {}, "invalid_client"),
    ({"jti": ""}, {}, "invalid_client"),
    ({}, {"client_id": "another"}, "invalid_client"),
    ({}, {"grant_type": "password"}, "unsupported_grant_type"),
    ({}, {"code": "unknown"}, "invalid_grant"),
    ({}, {"code": ""}, "invalid_grant"),
    ({}, {"redirect_uri": f"{BACK}/"}, "invalid_grant"),
    ({}, {"code_verifier": ""}, "invalid_grant"),
)


@in_loop
async def test_the_token_endpoint_gives_nothing_for_a_form_with_one_thing_wrong() -> None:
    async with signing() as made:
        for claims, fields, error in REFUSALS:
            started = await made.begin()
            form = {
                "grant_type": "authorization_code",
                "code": (await made.walk(started.url))["code"],
                "redirect_uri": BACK,
                "code_verifier": started.verifier,
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": assertion(made, **claims),
            }

            reply = await made.post("/token", **form | fields)

            assert parse(reply.body)["error"] == error, (claims, fields)
            assert reply.status == (401 if error == "invalid_client" else 400)
        assert made.state.tokens == {}


@in_loop
async def test_a_code_older_than_a_minute_gives_nothing_and_old_assertions_are_forgotten() -> None:
    async with signing() as made:
        await made.signed_in()
        started = await made.begin()
        back = await made.walk(started.url)
        made.clock.later(61)
        with pytest.raises(LdnError):
            await made.party.finish(started, back, Trail())
        assert made.state.events[-1]["reason"] == "code too old"

        made.clock.later(601)
        await made.signed_in()

        assert len(made.state.assertions) == 1


@in_loop
async def test_all_that_happened_can_be_read_and_its_health_too() -> None:
    async with signing() as made:
        await made.signed_in()
        told = parse((await made.get(f"{made.state.origin}/control/events")).body)
        shown = parse((await made.get(f"{made.state.origin}/control/state")).body)

        assert [e["event"] for e in told["events"]][-1] == "userinfo"
        assert shown["tokens"] == 1
        assert parse((await made.get(f"{made.state.origin}/health")).body) == {"status": "ready"}


def test_the_key_of_the_client_may_stand_in_a_certificate(tmp_path: Path) -> None:
    create_authority(tmp_path)
    issue_server(tmp_path / "a", Subject(Ura.parse("90000099"), "Dezi-simulator"))
    raw = serialization.load_pem_private_key((tmp_path / "a/server.key").read_bytes(), None)

    found = public_key(tmp_path / "a/server.pem")

    assert jose.jwk_thumbprint(found) == jose.jwk_thumbprint(jose.key_of(raw))  # type: ignore[arg-type]
