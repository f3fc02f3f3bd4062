"""Token exchange at the broker: RFC 8693, trust and broker §9, rule R68."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from cryptography import x509
from trust.broker.bench import ASKER, LIST, Bench, bench
from trust.broker.proofs import BROKER, ISSUER, PATIENT, PERSON, audience
from trust.parties import HOSPITAL, PHARMACY, PRACTICE

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid
from openldn.base.sql import connection
from openldn.trust.broker.keys import BrokerKeys
from openldn.trust.broker.mint import AssertionMint
from openldn.trust.broker.rate import Rate
from openldn.trust.broker.saml import BROKERED, brokered
from openldn.trust.broker.service import JWT, SAML, VP
from openldn.trust.certificates import thumbprint
from openldn.trust.emergencies import emergency_in
from openldn.trust.evidence import Kind
from openldn.trust.jose import jwk_thumbprint, read, verify
from openldn.trust.parties import Emergency
from openldn.trust.peers import profile
from openldn.trust.saml.organizations import organizations
from openldn.trust.saml.read import SamlExpected
from openldn.trust.trail import Trail

Case = Callable[[Bench], Awaitable[None]]
HIGH = "http://eidas.europa.eu/LoA/high"


@pytest.fixture
def at(databases: Databases, tmp_path: Path) -> Callable[[Case], None]:
    """Runs a case at a fresh broker."""

    async def run(case: Case) -> None:
        async with databases.pool() as pool, bench(pool, tmp_path) as made:
            await case(made)

    return lambda case: asyncio.run(run(case))


def opened(keys: BrokerKeys, token: str) -> dict[str, Any]:
    """The claims of a JWT by one of these keys."""
    trail = Trail()
    found = read(token, trail)
    kid = found.header_text("kid").rpartition("#")[2]
    key = next(k for k in keys.keys if jwk_thumbprint(k) == kid)
    verify(found, key, (found.header_text("alg"),), trail)
    return found.claims


def expected(made: Bench, der: bytes, **changes: Any) -> SamlExpected:
    """What a Zorgplatform holder that pinned the broker's certificate expects."""
    signed_by = made.world.folder / str(HOSPITAL) / "signing.pem"
    pinned = x509.load_pem_x509_certificates(signed_by.read_bytes())[:1]
    plain = SamlExpected(
        audience=ISSUER,
        now=made.clock(),
        profile=profile("zorgplatform"),
        variant=BROKERED,
        pinned={BROKER: tuple(pinned)},
        organization=organizations({}),
        client=der,
    )
    return replace(plain, **changes)


def test_an_lsp_holder_gets_signed_assertions(at: Callable[[Case], None]) -> None:
    async def case(made: Bench) -> None:
        made.told.proofs["subject"] = made.proof(dialect="vp")
        answer = await made.exchange(made.form("lsp"))

        assert answer["issued_token_type"] == JWT
        assert answer["token_type"] == "N_A"
        grant, client = (opened(made.keys, answer[k]) for k in ("access_token", "client_assertion"))
        assert (grant["iss"], grant["sub"], grant["aud"]) == (BROKER, ASKER.value, ISSUER)
        assert (client["iss"], client["sub"], client["aud"]) == (BROKER, BROKER, ISSUER)
        assert grant["jti"] == answer["jti"] != client["jti"]
        assert grant["act"] == {"sub": BROKER}
        assert grant["via"] == ["nuts"]
        assert grant["scope"] == "bgz:pull"
        assert grant["person"] == {"uzi": PERSON.uzi, "role": PERSON.role, "name": PERSON.name}
        assert (grant["purpose"], grant["patient"]) == ("TREAT", PATIENT.value)
        assert grant["authorization_base"] == "task-1"
        der = made.world.certificate(ASKER)
        assert grant["cnf"] == client["cnf"] == {"x5t#S256": thumbprint(der)}
        assert grant["status"] == {
            "issuer": made.keys.did,
            "uri": LIST,
            "idx": 0,
            "exp": int(made.told.proofs["subject"].expires.timestamp()),
        }
        assert 0 < grant["exp"] - grant["iat"] == answer["expires_in"] <= 300

    at(case)


def test_a_nuts_holder_gets_a_presentation_of_a_did_hosted_here(
    at: Callable[[Case], None],
) -> None:
    async def case(made: Bench) -> None:
        answer = await made.exchange(made.form("nuts"))

        assert answer["issued_token_type"] == VP
        shown = opened(made.keys, answer["access_token"])
        did = made.keys.did_of(ASKER)
        assert did == f"did:web:broker.example:org:{ASKER}"
        assert (shown["iss"], shown["sub"], shown["aud"]) == (did, did, ISSUER)
        assert shown["nonce"] != shown["jti"]
        assert shown["exp"] - shown["nbf"] <= 60
        [held] = shown["vp"]["verifiableCredential"]
        credential = opened(made.keys, held)
        assert (credential["iss"], credential["sub"]) == (made.keys.did, did)
        assert credential["jti"] == answer["jti"]
        said = credential["vc"]["credentialSubject"]
        assert said["organization_ura"] == ASKER.value
        assert said["act"] == {"sub": BROKER}
        assert said["employee"]["identifier"] == PERSON.uzi
        assert credential["vc"]["credentialStatus"]["statusListIndex"] == "0"
        delegation = opened(made.keys, answer["client_assertion"])
        assert delegation["iss"] == made.keys.did

    at(case)


def test_a_nuts_6_holder_gets_one_presentation_of_five_seconds(
    at: Callable[[Case], None],
) -> None:
    async def case(made: Bench) -> None:
        form = made.form("nuts")
        made.audiences[ISSUER] = audience("nuts", profile=profile("nuts-6"), holder=HOSPITAL)
        answer = await made.exchange(form)

        shown = opened(made.keys, answer["access_token"])
        assert "client_assertion" not in answer
        assert shown["exp"] - shown["nbf"] <= 5

    at(case)


def test_a_zorgplatform_holder_gets_saml_that_tells_who_acted(at: Callable[[Case], None]) -> None:
    async def case(made: Bench) -> None:
        answer = await made.exchange(made.form("zorgplatform"))

        assert answer["issued_token_type"] == SAML
        xml, der = base64.b64decode(answer["access_token"]), made.world.certificate(ASKER)
        proof = brokered(xml, expected(made, der), Trail())
        assert (proof.dialect, proof.organization) == ("broker", ASKER)
        assert (proof.person, proof.patient) == (PERSON, PATIENT)
        assert (proof.purpose, proof.authorization_base) == ("TREAT", "task-1")
        assert proof.act == (BROKER,)
        assert proof.scopes == frozenset({"bgz:pull"})
        assert [v.value for v in proof.claims["via"]["infrastructure"]] == ["lsp"]
        [listed] = [e for e in proof.evidence if e.kind is Kind.CREDENTIAL]
        assert (listed.id, listed.issuer) == (f"_{answer['jti']}", made.keys.did)
        assert listed.status is not None
        assert (listed.status.url, listed.status.index) == (LIST, 0)

    at(case)


def test_r83_the_reason_for_breaking_the_glass_goes_along_in_every_dialect(
    at: Callable[[Case], None],
) -> None:
    why = Emergency("case-0001", "unconscious", "naast haar fiets", HIGH, 1_772_442_000)

    async def case(made: Bench) -> None:
        made.told.proofs["subject"] = made.proof(purpose="BTG", emergency=why)
        answer = await made.exchange(made.form("zorgplatform"))
        xml, der = base64.b64decode(answer["access_token"]), made.world.certificate(ASKER)
        proof = brokered(xml, expected(made, der), Trail())
        assert (proof.purpose, proof.emergency) == ("BTG", why)

        for side in ("nuts", "lsp"):
            made.told.proofs["subject"] = made.proof(
                purpose="BTG", emergency=why, dialect="vp2" if side == "lsp" else "twiin"
            )
            answer = await made.exchange(made.form(side))
            told = opened(made.keys, answer["access_token"])
            if side == "nuts":
                [held] = told["vp"]["verifiableCredential"]
                told = opened(made.keys, held)["vc"]["credentialSubject"]
            assert emergency_in(told["emergency"]) == why
            assert told["purpose"] == "BTG"

    at(case)


def test_saml_without_a_person_says_so(at: Callable[[Case], None]) -> None:
    async def case(made: Bench) -> None:
        made.told.proofs["subject"] = made.proof(person=None, patient=None, dialect="vp2")
        answer = await made.exchange(made.form("zorgplatform"))

        xml, der = base64.b64decode(answer["access_token"]), made.world.certificate(ASKER)
        proof = brokered(xml, expected(made, der), Trail())
        assert (proof.person, proof.patient, proof.organization) == (None, None, ASKER)

    at(case)


def test_saml_shown_with_another_certificate_is_refused(at: Callable[[Case], None]) -> None:
    async def case(made: Bench) -> None:
        answer = await made.exchange(made.form("zorgplatform"))

        xml = base64.b64decode(answer["access_token"])
        other = expected(made, made.world.certificate(PHARMACY))
        with pytest.raises(LdnError) as error:
            brokered(xml, other, Trail())
        assert error.value.detail == "saml.holder"

    at(case)


def test_saml_of_a_broker_that_is_no_longer_pinned_is_refused(at: Callable[[Case], None]) -> None:
    async def case(made: Bench) -> None:
        answer = await made.exchange(made.form("zorgplatform"))

        xml, der = base64.b64decode(answer["access_token"]), made.world.certificate(ASKER)
        with pytest.raises(LdnError) as error:
            brokered(xml, expected(made, der, pinned={}), Trail())
        assert error.value.issue is Issue.LOGIN

    at(case)


def test_the_record_links_the_hash_of_what_came_in_to_what_went_out(
    at: Callable[[Case], None],
) -> None:
    async def case(made: Bench) -> None:
        answer = await made.exchange(made.form("nuts"))

        for party in (PRACTICE, HOSPITAL):
            found = await made.broker.trail(answer["jti"], made.world.certificate(party))
            assert found.input_hash == "qUkfTBv3sM_7rcui248Cjks_KGfLWeHzoLwZaPPFEkI"
            assert (found.rule, found.dialect, found.gives) == ("B8", "twiin", "vp")
            assert found.evidence == made.told.proofs["subject"].evidence
            assert {c.outcome for c in found.checks} == {"pass"}
            assert "broker.scope" in {c.rule.code for c in found.checks}

    at(case)


def test_nobody_else_reads_the_trail(at: Callable[[Case], None]) -> None:
    async def case(made: Bench) -> None:
        answer = await made.exchange(made.form("nuts"))

        for jti, party in ((answer["jti"], PHARMACY), ("absent", PRACTICE)):
            with pytest.raises(LdnError) as error:
                await made.broker.trail(jti, made.world.certificate(party))
            assert error.value.issue is Issue.NOT_FOUND

    at(case)


def test_no_bsn_name_or_token_stands_in_the_record(
    at: Callable[[Case], None], databases: Databases
) -> None:
    async def case(made: Bench) -> None:
        answer = await made.exchange(made.form("nuts"))

        async with connection(made.broker.store.pool) as db:
            row = str(await db.fetchval("SELECT conversion::text FROM conversion"))
        assert answer["jti"] in row
        assert PATIENT.value not in row
        assert "Arts" not in row
        assert answer["access_token"] not in row

    at(case)


@pytest.mark.parametrize(
    ("change", "issue", "code"),
    [
        ({"grant_type": "client_credentials"}, Issue.NOT_SUPPORTED, "broker.grant"),
        ({"subject_token": ""}, Issue.INVALID, "broker.form"),
        ({"scope": ""}, Issue.INVALID, "broker.form"),
        ({"audience": ""}, Issue.INVALID, "broker.form"),
        ({"actor_token": "x"}, Issue.INVALID, "broker.form"),
        ({"subject_token_type": "urn:x"}, Issue.LOGIN, "broker.type"),
        ({"subject_token": "unknown"}, Issue.LOGIN, "told"),
        ({"audience": "https://stranger.example"}, Issue.NOT_FOUND, "broker.participant"),
        ({"requested_token_type": "urn:x"}, Issue.NOT_SUPPORTED, "broker.conversion"),
        ({"requested_token_type": SAML}, Issue.NOT_SUPPORTED, "broker.spoken"),
    ],
    ids=lambda v: str(v)[:40],
)
def test_a_request_that_does_not_fit_is_refused_with_its_reason(
    at: Callable[[Case], None], change: dict[str, str], issue: Issue, code: str
) -> None:
    async def case(made: Bench) -> None:
        error = await made.refused(made.form("nuts") | change)
        assert (error.issue, error.detail) == (issue, code)

    at(case)


def test_scope_never_widens_beyond_the_proof(at: Callable[[Case], None]) -> None:
    async def case(made: Bench) -> None:
        made.told.proofs["subject"] = made.proof(scopes=frozenset({"bgz:pull"}))
        error = await made.refused(made.form("nuts", scope="bgz:pull lab:pull"))
        assert (error.issue, error.detail) == (Issue.BUSINESS_RULE, "broker.scope")

    at(case)


def test_a_proof_is_exchanged_once_also_after_a_refusal(at: Callable[[Case], None]) -> None:
    async def case(made: Bench) -> None:
        form = made.form("nuts")
        refused = await made.refused(form | {"requested_token_type": "urn:x"})
        assert refused.detail == "broker.conversion"
        assert (await made.refused(form)).detail == "broker.once"

    at(case)


def test_of_a_hundred_at_once_with_one_proof_one_is_minted(at: Callable[[Case], None]) -> None:
    async def case(made: Bench) -> None:
        form, certificate = made.form("nuts"), made.world.certificate(ASKER)

        async def attempt() -> str:
            try:
                await made.broker.exchange(form, certificate, Trail())
            except LdnError as error:
                return error.detail
            return "minted"

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(attempt()) for _ in range(100)]
        outcomes = [t.result() for t in tasks]
        assert outcomes.count("minted") == 1
        assert outcomes.count("broker.once") == 99

    at(case)


def test_a_stolen_proof_is_of_no_use_to_another_party(at: Callable[[Case], None]) -> None:
    async def case(made: Bench) -> None:
        error = await made.refused(made.form("nuts"), PHARMACY)
        assert (error.issue, error.detail) == (Issue.LOGIN, "broker.party")

    at(case)


def test_an_actor_token_must_be_of_who_asks(at: Callable[[Case], None]) -> None:
    async def case(made: Bench) -> None:
        made.told.proofs["own"] = made.proof()
        made.told.proofs["other"] = made.proof(organization=PHARMACY)
        form = made.form("nuts", actor_token_type=JWT)

        error = await made.refused(form | {"actor_token": "other"})
        assert error.detail == "broker.actor"
        made.told.proofs["subject"] = made.proof()
        assert "jti" in await made.exchange(form | {"actor_token": "own"})

    at(case)


def test_who_asks_too_often_waits(at: Callable[[Case], None]) -> None:
    async def case(made: Bench) -> None:
        made.broker.rate = Rate(burst=2, second=1)
        form = made.form("nuts", subject_token="unknown")
        details = [(await made.refused(form)).detail for _ in range(3)]
        assert details == ["told", "told", "broker.rate"]
        assert (await made.refused(form, PHARMACY)).detail == "told"
        made.clock.advance(1)
        assert (await made.refused(form)).detail == "told"

    at(case)


def test_a_broker_without_a_fitting_key_mints_nothing(at: Callable[[Case], None]) -> None:
    async def case(made: Bench) -> None:
        elliptic = BrokerKeys(BROKER, made.keys.keys[:1])
        made.mints["jwt"] = AssertionMint(elliptic, new_uuid)
        made.told.proofs["subject"] = made.proof(dialect="vp")
        form = made.form("lsp")
        made.audiences[ISSUER] = audience("lsp", profile=profile("viplive"), holder=HOSPITAL)
        error = await made.refused(form)
        assert error.detail == "broker.key: PS256"

    at(case)


@pytest.mark.parametrize("name", ["twiin", "viplive", "ig-2026", "nuts-6"])
def test_every_peer_gets_an_algorithm_of_its_own_list(
    at: Callable[[Case], None], name: str
) -> None:
    async def case(made: Bench) -> None:
        side = "lsp" if name in {"twiin", "viplive"} else "nuts"
        made.told.proofs["subject"] = made.proof(dialect="saml")
        form = made.form(side)
        made.audiences[ISSUER] = audience(side, profile=profile(name), holder=HOSPITAL)
        answer = await made.exchange(form)

        header = json.loads(base64.urlsafe_b64decode(answer["access_token"].split(".")[0] + "=="))
        allowed = profile(name).alg_out
        assert header["alg"] in (allowed.assertion if side == "lsp" else allowed.presentation)

    at(case)


def test_no_private_part_is_published(at: Callable[[Case], None]) -> None:
    async def case(made: Bench) -> None:
        published = json.dumps([made.keys.jwks(), made.keys.document(made.keys.did)])
        keys = [k for k in json.loads(published)[0]["keys"]]
        methods = [m["publicKeyJwk"] for m in json.loads(published)[1]["verificationMethod"]]
        assert len(keys) == len(methods) == 2
        assert all(not {"d", "p", "q", "dp", "dq", "qi"} & set(k) for k in keys + methods)
        assert "PRIVATE" not in repr(made.keys)

    at(case)


def test_what_expired_long_ago_is_forgotten(at: Callable[[Case], None]) -> None:
    async def case(made: Bench) -> None:
        made.broker.kept = timedelta(days=1)
        first = await made.exchange(made.form("nuts"))
        made.clock.advance(2 * 24 * 3600)
        made.told.proofs["subject"] = made.proof()
        second = await made.exchange(made.form("nuts"))

        assert await made.broker.store.find(first["jti"]) is None
        assert await made.broker.store.find(second["jti"]) is not None

    at(case)
