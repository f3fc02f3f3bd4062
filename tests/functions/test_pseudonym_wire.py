"""The service and its clients over real TLS: generic functions §6.3 (P03, P06-P09, P14-P21)."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from cryptography import x509
from functions.pseudonym_cases import (
    BLIND,
    HOSPITAL,
    HOSPITAL_OIN,
    INDEX,
    INDEX_OIN,
    JANSEN,
    OIN_INFO,
    OTHER,
    READ,
    TO_INDEX,
    URA_INFO,
    World,
    opener_of,
    pem,
    world,
)
from functions.wire_cases import SERVER, caller, identity
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from openldn.base import log
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply, peer_certificate, server_context, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.codec import dump, parse
from openldn.fhir.http import Rim, application, respond_json
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.pseudonyms import api, oprf
from openldn.functions.pseudonyms.client import PseudonymsClient, token_of
from openldn.functions.pseudonyms.model import WIRES, Pseudonyms, Target, Wire, target
from openldn.functions.pseudonyms.settings import AskingSettings, client_of
from openldn.trust.certificates.issue import Shape, Subject, create_authority, issue_server
from openldn.trust.certificates.party import party_of
from openldn.trust.jose import jwk_thumbprint, key_of_certificate
from openldn.trust.parties import CALLER, Caller

OIN = f"oin:{INDEX_OIN}"
POINT = oprf.encoded(oprf.multiply(BLIND, oprf.element(b"any")))
ASKED = {"encryptedPersonalId": POINT, "recipientOrganization": OIN, "recipientScope": "nvi"}
TO_INDEX_BY_URA = target(f"ura:{INDEX}", "info-ura")
RECIPIENTS = (OIN, f"ura:{OTHER}")
KEYS = "/administration/keys"
VERSIONS = "/administration/key-versions"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    create_authority(folder)
    for ura in (HOSPITAL, OTHER, SERVER):
        issue_server(folder / str(ura), Subject(ura, f"Zorgaanbieder {ura}"))
    issue_server(folder / str(INDEX), Subject(INDEX, "Index"), shape=Shape("rsa"))
    return folder


@dataclass
class Gate:
    """Stands where the gateway stands: tells who calls, by the certificate of the connection."""

    inner: ASGIApp
    calls: dict[Ura, Caller | None] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (der := peer_certificate(scope)):
            found = self.calls[party_of(der).ura]
            if found is not None:
                scope[CALLER] = found
        await self.inner(scope, receive, send)


@dataclass
class Bearers:
    """Gives tokens that count for nothing here, and remembers which were refused."""

    given: int = 0
    forgotten: list[str] = field(default_factory=list)

    async def bearer(self, scope: str) -> str:
        assert scope == "prs:read"
        self.given += 1
        return f"token-{self.given}"

    def forget(self, token: str) -> None:
        self.forgotten.append(token)


@dataclass
class Network:
    """A service over TLS, and those who call it."""

    world: World
    base: str
    folder: Path
    calls: dict[Ura, Caller | None]

    @asynccontextmanager
    async def client(self, to: Target = TO_INDEX, wire: str = "eval-2026") -> AsyncIterator[Any]:
        async with caller(self.folder, HOSPITAL) as http:
            yield PseudonymsClient(http, self.base, to, Bearers(), new_uuid, wire=WIRES[wire])

    async def call(
        self, ura: Ura, method: str, path: str, body: object = None, **headers: str
    ) -> Reply:
        sent = {"content-type": "application/json", **headers}
        content = None if body is None else body if isinstance(body, bytes) else dump(body)
        async with caller(self.folder, ura) as http:
            return await http.send(
                method, self.base + path, headers=sent, body=content, deadline=10
            )


@asynccontextmanager
async def network(databases: Databases, folder: Path) -> AsyncIterator[Network]:
    async with world(databases) as made:
        calls: dict[Ura, Caller | None] = {
            HOSPITAL: Caller(HOSPITAL, READ, oin=HOSPITAL_OIN),
            INDEX: Caller(INDEX, READ, oin=INDEX_OIN),
            OTHER: Caller(OTHER, READ),
        }
        app = application(api.routes(made.evaluations, RECIPIENTS), role="test", new_id=new_uuid)
        assert isinstance(app, Rim)
        app = Rim(app.role, app.new_id, Gate(app.inner, calls))
        context = server_context(identity(folder, SERVER))
        async with serving(app, "127.0.0.1", 0, context) as port:
            yield Network(made, f"https://127.0.0.1:{port}", folder, calls)


def run(databases: Databases, folder: Path, check: Callable[[Network], Awaitable[None]]) -> None:
    async def inside() -> None:
        async with network(databases, folder) as net:
            await check(net)

    asyncio.run(inside())


def content(reply: Reply) -> Any:
    return parse(reply.body)


def told(reply: Reply) -> str:
    outcome = content(reply)
    assert outcome["resourceType"] == "OperationOutcome"
    return str(outcome["issue"][0])


@pytest.mark.parametrize(
    ("wire", "to"),
    [("eval-2026", TO_INDEX), ("ig-ministry", TO_INDEX_BY_URA)],
)
def test_p03_a_token_asked_over_the_wire_is_the_patient_to_the_recipient(
    databases: Databases, certificates: Path, wire: str, to: Target
) -> None:
    async def check(net: Network) -> None:
        await net.world.register(scopes=("nvi", "nationale-verwijsindex"))
        async with net.client(to, wire) as client:
            port: Pseudonyms = client
            tokens = [await port.token(JANSEN) for _ in range(2)]
        opened = [opener_of(net.world.time, to=to).open(token) for token in tokens]
        elsewhere = opener_of(net.world.time, to=to).open(await net.world.evaluate(JANSEN, to))

        assert opened[0].elements == opened[1].elements == elsewhere.elements
        assert opened[0].digest != opened[1].digest

    run(databases, certificates, check)


def test_p06_each_wire_names_recipients_its_own_way(
    databases: Databases, certificates: Path
) -> None:
    async def check(net: Network) -> None:
        await net.world.register()
        wrong = await net.call(
            HOSPITAL, "POST", "/oprf/eval", {**ASKED, "recipientOrganization": f"ura:{INDEX}"}
        )
        by_ura = {
            "blinded_input": POINT,
            "recipient_organization": f"ura:{INDEX}",
            "recipient_scope": "nvi",
        }
        right = await net.call(HOSPITAL, "POST", "/evaluate", by_ura)
        by_oin = await net.call(
            HOSPITAL, "POST", "/evaluate", {**by_ura, "recipient_organization": OIN}
        )

        assert (wrong.status, right.status, by_oin.status) == (422, 200, 422)
        assert set(content(right)) == {"evaluated_output"}

    run(databases, certificates, check)


def test_n07_another_dialect_is_refused_naming_that_of_the_address(
    databases: Databases, certificates: Path
) -> None:
    async def check(net: Network) -> None:
        ministry = {"blinded_input": POINT, "recipient_organization": OIN, "recipient_scope": "n"}
        for path, body, name in (
            ("/oprf/eval", ministry, "eval-2026"),
            ("/evaluate", ASKED, "ig-ministry"),
            ("/oprf/eval", {**ASKED, "personalId": "999911120"}, "eval-2026"),
        ):
            reply = await net.call(HOSPITAL, "POST", path, body)
            assert reply.status == 422
            assert name in told(reply)
            assert "999911120" not in told(reply)

    run(databases, certificates, check)


NO_OINS = ("oin:123", "oin:" + "0" * 20, "oin:000000990000000010001", "oin:", "", "oin:é")


def test_p07_what_is_no_oin_is_refused(databases: Databases, certificates: Path) -> None:
    async def check(net: Network) -> None:
        for oin in NO_OINS:
            body = {**ASKED, "recipientOrganization": oin}
            assert (await net.call(HOSPITAL, "POST", "/oprf/eval", body)).status == 422

    run(databases, certificates, check)


def test_p08_what_is_asked_wrongly_or_of_nobody_is_refused(
    databases: Databases, certificates: Path
) -> None:
    changes: list[tuple[dict[str, object], int]] = [
        ({"recipientScope": "n"}, 422),
        ({"recipientScope": 7}, 422),
        ({"encryptedPersonalId": "A"}, 422),
        ({"encryptedPersonalId": None}, 422),
        ({"recipientOrganization": "oin:00000009000000009000"}, 404),
        ({"recipientScope": "lab"}, 404),
    ]

    async def check(net: Network) -> None:
        await net.world.register()
        for change, status in changes:
            reply = await net.call(HOSPITAL, "POST", "/oprf/eval", {**ASKED, **change})
            assert (reply.status, bool(told(reply))) == (status, True)

    run(databases, certificates, check)


def test_p09_what_is_no_element_is_refused_with_one_body(
    databases: Databases, certificates: Path
) -> None:
    wrong = [
        *("ff" * 32, "00" * 32, "00" + "ff" * 31, "f3" + "ff" * 30 + "7f", "ed" + "ff" * 30 + "7f"),
        *("01" + "00" * 31, "01" + "ff" * 30 + "7f", "010203"),
    ]
    generator = "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"

    async def check(net: Network) -> None:
        await net.world.register()

        async def ask(text: str) -> Reply:
            return await net.call(
                HOSPITAL, "POST", "/oprf/eval", {**ASKED, "encryptedPersonalId": text}
            )

        replies = [await ask(oprf.encoded(bytes.fromhex(w))) for w in wrong]
        replies += [await ask(text) for text in ("!!", "AA AA", "A" * 9000)]
        assert {r.status for r in replies} == {400}
        assert len({r.body for r in replies}) == 1
        assert (await ask(oprf.encoded(bytes.fromhex(generator)))).status == 200

    run(databases, certificates, check)


def test_what_is_no_json_object_or_too_large_is_refused(
    databases: Databases, certificates: Path
) -> None:
    async def check(net: Network) -> None:
        for body in (b"", b"[]", b"{", b'"x"', b"\xff", b"[" * 9000):
            assert (await net.call(HOSPITAL, "POST", "/oprf/eval", body)).status == 400
        assert (await net.call(HOSPITAL, "POST", "/oprf/eval", b" " * 20_000)).status == 413

    run(databases, certificates, check)


def test_p15_both_alphabets_get_one_answer(databases: Databases, certificates: Path) -> None:
    async def check(net: Network) -> None:
        await net.world.register()
        blind = oprf.fresh_scalar()
        while not {"-", "_"} & set(sent := oprf.encoded(_blinded(blind))):
            blind = oprf.fresh_scalar()
        forms = (sent, sent.replace("-", "+").replace("_", "/"), sent.rstrip("="))
        found = set()
        for form in forms:
            reply = await net.call(
                HOSPITAL, "POST", "/oprf/eval", {**ASKED, "encryptedPersonalId": form}
            )
            token = token_of(content(reply)["jwe"], blind)
            found.add(opener_of(net.world.time).open(token).elements)
        assert len(found) == 1

    run(databases, certificates, check)


def _blinded(blind: bytes) -> bytes:
    return oprf.blinded(oprf.identifier(JANSEN.value), OIN_INFO, blind)


def test_whom_no_gateway_let_in_is_nobody(databases: Databases, certificates: Path) -> None:
    async def check(net: Network) -> None:
        await net.world.register()
        net.calls[HOSPITAL] = None
        forged = {
            "x-gf-sub": str(HOSPITAL_OIN),
            "x-gf-audience": "prs",
            "authorization": "Bearer x",
        }
        for method, path, body in (
            ("POST", "/oprf/eval", ASKED),
            ("POST", "/evaluate", ASKED),
            ("GET", KEYS, None),
            ("POST", VERSIONS, {}),
        ):
            reply = await net.call(HOSPITAL, method, path, body, **forged)
            assert reply.status == 401

    run(databases, certificates, check)


def test_p19_p20_the_older_exchange_is_not_offered(
    databases: Databases, certificates: Path
) -> None:
    async def check(net: Network) -> None:
        for path in ("/exchange/pseudonym", "/exchange/rid", "/receive"):
            assert (await net.call(HOSPITAL, "POST", path, {"rid": "x"})).status == 404

    run(databases, certificates, check)


def test_the_key_of_the_connection_is_registered_and_answered_to(
    databases: Databases, certificates: Path
) -> None:
    async def check(net: Network) -> None:
        path = "/administration/register/certificate"
        made = await net.call(INDEX, "POST", path, {"scope": ["NVI", "lab"], "key_id": "mine"})
        again = await net.call(INDEX, "POST", path, {"scope": ["lab"]})

        assert (made.status, again.status) == (201, 409)
        assert content(made)["scope"] == ["nvi", "lab"]
        assert content(made)["key_id"] == "mine"
        assert (await net.call(HOSPITAL, "POST", "/oprf/eval", ASKED)).status == 200
        assert content(await net.call(INDEX, "GET", KEYS)) == [content(made)]

    run(databases, certificates, check)


def test_a_key_is_named_by_its_thumbprint_unless_it_has_a_name(
    databases: Databases, certificates: Path
) -> None:
    chain = x509.load_pem_x509_certificates((certificates / str(INDEX) / "server.pem").read_bytes())

    async def check(net: Network) -> None:
        path = "/administration/register/certificate"
        made = await net.call(INDEX, "POST", path, {"scope": ["*"]})
        assert content(made)["key_id"] == jwk_thumbprint(key_of_certificate(chain[0]))

    run(databases, certificates, check)


def test_a_certificate_that_nobody_can_encrypt_to_is_not_registered(
    databases: Databases, certificates: Path
) -> None:
    async def check(net: Network) -> None:
        path = "/administration/register/certificate"
        assert (await net.call(OTHER, "POST", path, {"scope": ["nvi"]})).status == 422

    run(databases, certificates, check)


def test_who_acts_for_a_recipient_does_not_register_its_own_key(
    databases: Databases, certificates: Path
) -> None:
    async def check(net: Network) -> None:
        net.calls[INDEX] = Caller(INDEX, READ, oin=INDEX_OIN, acting=str(OTHER))
        path = "/administration/register/certificate"
        assert (await net.call(INDEX, "POST", path, {"scope": ["nvi"]})).status == 403

    run(databases, certificates, check)


def test_who_is_no_recipient_here_has_nothing_to_administer(
    databases: Databases, certificates: Path
) -> None:
    async def check(net: Network) -> None:
        body = {"scope": ["nvi"], "key_data": pem()}
        assert (await net.call(HOSPITAL, "POST", KEYS, body)).status == 403
        net.calls[INDEX] = Caller(INDEX, frozenset(), oin=INDEX_OIN)
        assert (await net.call(INDEX, "POST", KEYS, body)).status == 403

    run(databases, certificates, check)


def test_keys_are_added_changed_and_removed_by_their_owner_only(
    databases: Databases, certificates: Path
) -> None:
    async def check(net: Network) -> None:
        body = {"scope": ["nvi"], "key_data": pem()}
        made = content(await net.call(INDEX, "POST", KEYS, body))
        own = f"{KEYS}/{made['id']}"
        other = {"scope": ["nvi", "lab"], "key_data": pem("new"), "key_id": "new"}
        foreign = [
            await net.call(OTHER, "PUT", own, other),
            await net.call(OTHER, "DELETE", own),
            await net.call(OTHER, "DELETE", f"{KEYS}/unknown"),
        ]

        assert {(r.status, r.body) for r in foreign} == {(404, foreign[0].body)}
        assert content(await net.call(OTHER, "GET", KEYS)) == []
        changed = content(await net.call(INDEX, "PUT", own, other))
        assert (changed["scope"], changed["key_id"]) == (["nvi", "lab"], "new")
        assert changed["id"] == made["id"]
        assert (await net.call(HOSPITAL, "POST", "/oprf/eval", ASKED)).status == 200
        assert (await net.call(INDEX, "DELETE", own)).status == 204
        assert (await net.call(HOSPITAL, "POST", "/oprf/eval", ASKED)).status == 404
        assert (await net.call(INDEX, "DELETE", own)).status == 404

    run(databases, certificates, check)


NO_KEYS: list[dict[str, object]] = [
    {"scope": ["nvi"]},
    {"scope": "nvi", "key_data": "x"},
    {"scope": [1], "key_data": "x"},
    {"scope": [], "key_data": "x"},
    {"scope": ["nvi"], "key_data": 7},
    {"scope": ["nvi"], "key_data": "x", "key_id": ""},
    {"scope": ["nvi"], "key_data": "x" * 5000},
    {"scope": ["nvi"], "key_data": "-----BEGIN PRIVATE KEY-----"},
    {"scope": ["nvi"], "key_data": "x", "max_key_usage": "bsn"},
]
NO_LIVES: list[dict[str, object]] = [
    {"from_dt": "2027-03-03T00:00:00"},
    {"from_dt": "2027-03-01T00:00:00Z"},
    {"until_dt": "2027-03-01T00:00:00Z"},
    {"from_dt": "9999-12-31T23:59:59Z"},
    {"from_dt": "soon"},
    {"from_dt": 7},
    {"from_dt": None, "until_dt": None, "version": 3},
]
NO_ENDS: list[dict[str, object]] = [
    {"until_dt": "2027-03-09T00:00:00"},
    {"until_dt": "2026-01-01T00:00:00Z"},
    {"until_dt": "9999-12-31T23:59:59-14:00"},
    {},
]


def test_p18_a_key_that_is_none_is_refused(databases: Databases, certificates: Path) -> None:
    async def check(net: Network) -> None:
        for body in NO_KEYS:
            assert (await net.call(INDEX, "POST", KEYS, body)).status == 422, body

    run(databases, certificates, check)


def test_p18_moments_that_do_not_count_are_refused(
    databases: Databases, certificates: Path
) -> None:
    async def check(net: Network) -> None:
        await net.world.register()
        for body in NO_LIVES:
            assert (await net.call(INDEX, "POST", VERSIONS, body)).status == 422, body
        [version] = content(await net.call(INDEX, "GET", VERSIONS))
        for body in NO_ENDS:
            reply = await net.call(INDEX, "PUT", f"{VERSIONS}/{version['id']}", body)
            assert reply.status == 422, body

    run(databases, certificates, check)


def test_versions_are_announced_with_their_period(databases: Databases, certificates: Path) -> None:
    async def check(net: Network) -> None:
        await net.world.register()
        made = await net.call(INDEX, "POST", VERSIONS, {"from_dt": "2027-04-01T00:00:00+02:00"})
        listed = content(await net.call(INDEX, "GET", VERSIONS))
        first, second = content(made)[0], listed[1]

        assert made.status == 201
        assert [(v["version"], v["scope"]) for v in listed] == [(2, "nvi"), (1, "nvi")]
        assert first["from_dt"] == "2027-03-31T22:00:00.000Z"
        assert second["until_dt"] == "2027-06-29T22:00:00.000Z"
        assert set(first) == {"id", "scope", "version", "from_dt", "until_dt", "destroyed_dt"}
        own = f"{VERSIONS}/{second['id']}"
        assert (await net.call(OTHER, "PUT", own, {"until_dt": None})).status == 404
        assert (
            await net.call(INDEX, "PUT", own, {"until_dt": "2027-04-09T00:00:00Z"})
        ).status == 409
        later = await net.call(INDEX, "PUT", own, {"until_dt": "2028-01-01T00:00:00Z"})
        assert content(later)["until_dt"] == "2028-01-01T00:00:00.000Z"

    run(databases, certificates, check)


def test_p14_neither_side_writes_who_the_patient_is(
    databases: Databases, certificates: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets: list[str] = [JANSEN.value]

    async def check(net: Network) -> None:
        await net.world.register()
        log.configure("pseudonyms")
        async with net.client() as client:
            token = await client.token(JANSEN)
            kept = f"{vars(client)} {client}"
        parts = json.loads(_plain(token))
        opened = opener_of(net.world.time).open(token)
        secrets.extend([token, *parts.values(), *(oprf.encoded(e) for _, e in opened.elements)])
        assert not [s for s in secrets if s in kept]

    run(databases, certificates, check)
    written = capsys.readouterr().err
    assert '"210400"' in written
    assert not [s for s in secrets if s in written]


def _plain(token: str) -> bytes:
    return base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))


class Odd:
    """A service of another make that answers as it is told."""

    def __init__(self, *answers: tuple[int, object]) -> None:
        self.answers, self.bodies = list(answers), list[dict[str, Any]]()

    async def answer(self, request: Request) -> Response:
        self.bodies.append(parse(await request.body()))
        status, answer = self.answers[min(len(self.bodies), len(self.answers)) - 1]
        return respond_json(answer, status=status)


@asynccontextmanager
async def asking(
    folder: Path, odd: Odd, wire: Wire = WIRES["eval-2026"], deadline: float = 5
) -> AsyncIterator[tuple[PseudonymsClient, Bearers]]:
    app = application([Route(wire.path, odd.answer, methods=["POST"])], role="odd", new_id=new_uuid)
    context, bearers = server_context(identity(folder, SERVER)), Bearers()
    to = TO_INDEX if wire.prefix == "oin:" else TO_INDEX_BY_URA
    async with serving(app, "127.0.0.1", 0, context) as port, caller(folder, HOSPITAL) as http:
        base = f"https://127.0.0.1:{port}"
        yield (
            PseudonymsClient(http, base, to, bearers, new_uuid, wire=wire, deadline=deadline),
            bearers,
        )


@pytest.mark.parametrize(
    ("status", "answer", "issue"),
    [
        (400, {"error": "Unable to evaluate blind"}, Issue.INCOMPLETE),
        (401, {}, Issue.INCOMPLETE),
        (403, {}, Issue.INCOMPLETE),
        (404, {"error": "not found"}, Issue.INCOMPLETE),
        (422, {"detail": []}, Issue.INCOMPLETE),
        (429, {}, Issue.THROTTLED),
        (500, {}, Issue.INCOMPLETE),
        (503, {}, Issue.TRANSIENT),
        (504, {}, Issue.TIMEOUT),
        (200, {}, Issue.INCOMPLETE),
        (200, [], Issue.INCOMPLETE),
        (200, {"jwe": 7}, Issue.INCOMPLETE),
        (200, {"jwe": "a.b.c"}, Issue.INCOMPLETE),
        (200, {"jwe": "a.b.c.d.é"}, Issue.INCOMPLETE),
        (200, {"jwe": f"a.b.c.d.{'e' * 9000}"}, Issue.INCOMPLETE),
        (200, {"jwe": "x" * 40_000}, Issue.INCOMPLETE),
    ],
)
def test_the_client_tells_what_went_wrong_and_whose_turn_it_is(
    certificates: Path, status: int, answer: object, issue: Issue
) -> None:
    async def check() -> None:
        async with asking(certificates, Odd((status, answer))) as (client, _):
            with pytest.raises(LdnError) as refused:
                await client.token(JANSEN)
            assert refused.value.issue is issue
            assert refused.value.message.startswith("the pseudonym service: ")
            assert JANSEN.value not in str(refused.value)

    asyncio.run(check())


def test_a_token_that_is_refused_is_asked_anew_once(certificates: Path) -> None:
    async def check() -> None:
        odd = Odd((401, {}), (200, {"jwe": "a.b.c.d.e"}))
        async with asking(certificates, odd) as (client, bearers):
            assert await client.token(JANSEN)
            assert bearers.forgotten == ["token-1"]
        odd = Odd((401, {}))
        async with asking(certificates, odd) as (client, _):
            with pytest.raises(LdnError):
                await client.token(JANSEN)
            assert len(odd.bodies) == 2

    asyncio.run(check())


@pytest.mark.parametrize("wire", WIRES.values(), ids=WIRES)
def test_what_is_sent_is_blinded_afresh_each_time_and_nothing_else(
    certificates: Path, wire: Wire
) -> None:
    async def check() -> None:
        odd = Odd((200, {wire.answer: "a.b.c.d.e"}))
        async with asking(certificates, odd, wire) as (client, _):
            for _turn in range(3):
                await client.token(JANSEN)
            assert len({body[wire.blinded] for body in odd.bodies}) == 3
            for body in odd.bodies:
                assert set(body) == {wire.blinded, wire.organization, wire.scope}
                assert len(body[wire.blinded]) == 44
                assert body[wire.organization] == client.target.organization

    asyncio.run(check())


def test_p21_every_patient_is_hashed_in_the_canonical_form(certificates: Path) -> None:
    """Whatever a client sends, its blind taken off, is the element of the vectors' own chain."""

    async def check() -> None:
        odd = Odd((200, {"jwe": "a.b.c.d.e"}))
        async with asking(certificates, odd) as (client, _):
            token = await client.token(Bsn("999940003"))
        blind = oprf.decoded(json.loads(_plain(token))["blind_factor"])
        sent = oprf.decoded(odd.bodies[0]["encryptedPersonalId"])
        point = "74b5623627f91980f1a0a87c2048008a61fe8a5c30240ebab07573b5df27984c"
        assert oprf.unblind(blind, sent).hex() == point

    asyncio.run(check())


def test_a_service_that_is_slow_or_away_is_not_waited_for(certificates: Path) -> None:
    async def check() -> None:
        over = asyncio.Event()

        async def never(request: Request) -> Response:
            await over.wait()
            return respond_json({})

        app = application(
            [Route("/oprf/eval", never, methods=["POST"])], role="odd", new_id=new_uuid
        )
        context = server_context(identity(certificates, SERVER))
        async with caller(certificates, HOSPITAL) as http:
            async with serving(app, "127.0.0.1", 0, context) as port:
                client = _client(http, f"https://127.0.0.1:{port}", deadline=0.2)
                with pytest.raises(LdnError) as slow:
                    await client.token(JANSEN)
                over.set()
            with pytest.raises(LdnError) as away:
                await client.token(JANSEN)
        assert slow.value.issue is Issue.TIMEOUT
        assert away.value.issue is Issue.INCOMPLETE

    asyncio.run(check())


def _client(http: HttpClient, base: str, deadline: float = 5.0) -> PseudonymsClient:
    return PseudonymsClient(http, base, TO_INDEX, Bearers(), new_uuid, deadline=deadline)


def test_p05_a_client_whose_words_differ_does_not_start() -> None:
    http, bearers = HttpClient(), Bearers()
    right = oprf.check_value(TO_INDEX)
    fits = AskingSettings(url="https://prs.example/", recipient=OIN, check=right)
    differs = AskingSettings(url="https://prs.example", recipient=OIN, kind="bsn", check=right)

    assert client_of(fits, http, bearers, new_uuid).base == "https://prs.example"
    with pytest.raises(LdnError) as refused:
        client_of(differs, http, bearers, new_uuid)
    assert refused.value.issue is Issue.EXCEPTION


def test_a_client_whose_settings_do_not_fit_its_wire_does_not_start() -> None:
    http, bearers = HttpClient(), Bearers()
    for wire, recipient, info in (
        ("ig-ministry", OIN, "info-oin"),
        ("eval-2026", f"ura:{INDEX}", "info-ura"),
        ("nothing", OIN, "info-oin"),
        ("eval-2026", OIN, "info-ura"),
    ):
        settings = AskingSettings(
            url="https://prs.example", recipient=recipient, info=info, wire=wire
        )
        with pytest.raises(LdnError):
            client_of(settings, http, bearers, new_uuid)
    mixed = AskingSettings(url="https://prs.example", recipient=OIN, info=URA_INFO)
    assert client_of(mixed, http, bearers, new_uuid).target.scope == "nationale-verwijsindex"
