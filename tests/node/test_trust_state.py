"""What a node tells its own organization of its trust, and what it never tells.

Verifies docs/reference/node-api.md, "Trust".
"""

import asyncio
import json
import re
import shutil
from base64 import urlsafe_b64decode
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import pytest
from conftest import Databases
from node.small_network import (
    HOSPITAL,
    JANSEN,
    NAMES,
    NURSE,
    Network,
    as_pkcs12,
    ask,
    authority,
    body_of,
    small_network,
)

from openldn.base.errors import LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import utc_now
from openldn.node.keys import KeyShown, Revocation, keys_of, level_of
from openldn.node.parts import trust_state
from openldn.node.trust import CredentialShown, DocumentShown, wanted_of
from openldn.trust.certificates.issue import Subject, Term, issue_signing
from openldn.trust.dealings.model import Wanted

T = TypeVar("T")


def in_network(
    databases: Databases, pki: Path, run: Callable[[Network], Awaitable[T]], **settings: Any
) -> T:
    """What `run` gives, in a network of a hospital and a clinic."""

    async def whole() -> T:
        async with small_network(databases, pki) as network:
            await network.node("hospital", **settings)
            await network.node("clinic", **settings)
            return await run(network)

    return asyncio.run(whole())


async def get(client: HttpClient, network: Network, path: str, key: str = "hospital") -> Reply:
    return await client.send("GET", f"{network.nodes[key].url}{path}", deadline=10)


async def state_of(network: Network, key: str = "hospital") -> dict[str, Any]:
    reply = await get(network.client(key), network, "/api/trust", key)
    assert reply.status == 200, reply.body
    found: dict[str, Any] = json.loads(reply.body)
    return found


def test_the_organization_sees_its_keys_and_peers(databases: Databases, pki: Path) -> None:
    async def run(network: Network) -> dict[str, Any]:
        return await state_of(network)

    state = in_network(databases, pki, run)

    assert state["organization"] == {"ura": "90000001", "name": "Ziekenhuis De Brug"}
    tls, signing, wallet, audit = state["keys"]
    assert (tls["use"], tls["kind"], tls["store"], tls["level"]) == (
        "tls",
        "certificate",
        "file",
        "ok",
    )
    assert tls["algorithm"] == "EC secp256r1"
    assert re.fullmatch(r"[\w-]{43}", tls["thumbprint"])
    assert tls["thumbprint"] != signing["thumbprint"]
    assert tls["days"] in {364, 365}
    assert "Ziekenhuis De Brug" in tls["subject"]
    for key in (tls, signing):
        assert (key["revocation"]["source"], key["revocation"]["state"]) == ("crl", "good")
        assert key["revocation"]["checked"]
    assert (wallet["use"], wallet["kind"], wallet["algorithm"]) == (
        "wallet",
        "secret",
        "EC secp256r1",
    )
    assert (audit["use"], audit["kind"], audit["thumbprint"]) == ("audit", "secret", "")
    assert {k["revocation"]["state"] for k in (wallet, audit)} == {"unknown"}
    clinic = next(p for p in state["peers"] if p["ura"] == "90000002")
    assert clinic["name"] == "Kliniek Het Veer"
    assert clinic["infrastructure"] == "direct"
    assert clinic["authorization_server"].endswith("/oauth2/90000002")
    assert HOSPITAL.value not in {p["ura"] for p in state["peers"]}
    assert clinic["profile"] == "twiin"
    assert state["refusals"] == []
    assert state["reasons"] == {}


@pytest.mark.parametrize("path", ["/api/trust", "/api/trust/refusals"])
def test_no_other_organization_sees_any_of_it(databases: Databases, pki: Path, path: str) -> None:
    async def run(network: Network) -> int:
        return (await get(network.client("clinic"), network, path)).status

    assert in_network(databases, pki, run) == 403


def test_a_refused_token_request_is_kept_with_rule_clause_turn_and_advice(
    databases: Databases, pki: Path
) -> None:
    async def run(network: Network) -> dict[str, Any]:
        node = network.nodes["hospital"]
        reply = await network.client("clinic").send(
            "POST",
            f"{node.parts.settings.issuer}/token",
            headers={
                "content-type": "application/x-www-form-urlencoded",
                "x-request-id": "a-question-of-the-clinic",
            },
            body=b"grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
            b"&assertion=e30.e30.e30&client_assertion=e30.e30.e30&scope=x&client_assertion_type="
            b"urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer",
            deadline=10,
        )
        assert reply.status in {400, 401}
        await node.parts.dealings.written()
        return await state_of(network)

    [refusal] = in_network(databases, pki, run)["refusals"]

    assert refusal["correlation"] == "a-question-of-the-clinic"
    assert (refusal["direction"], refusal["peer"]) == ("in", "90000002")
    assert (refusal["dialect"], refusal["turn"]) == ("token", "peer")
    assert refusal["code"] and refusal["rule"] and refusal["source"]
    assert refusal["advice"]["text"]


def test_a_question_that_policy_refuses_is_kept_at_both_sides_once(
    databases: Databases, pki: Path
) -> None:
    async def run(network: Network) -> tuple[dict[str, Any], dict[str, Any]]:
        asked = await ask(network.client("clinic"), network.nodes["clinic"], body_of())
        assert asked.status == 200
        for node in network.nodes.values():
            await node.parts.dealings.written()
        return await state_of(network), await state_of(network, "clinic")

    hospital, clinic = in_network(databases, pki, run, insecure_presumed_consent=False)

    [refused], [told] = hospital["refusals"], clinic["refusals"]
    assert (refused["direction"], refused["code"]) == ("in", "policy.consented")
    assert refused["rule"] == "the consent is there that the legal basis asks for"
    assert (told["direction"], told["code"], told["turn"]) == ("out", "http.403", "us")
    assert (told["peer"], told["dialect"]) == ("90000001", "direct")
    assert refused["correlation"] == told["correlation"]


def test_the_last_token_each_way_stands_with_the_peer(databases: Databases, pki: Path) -> None:
    async def run(network: Network) -> tuple[dict[str, Any], dict[str, Any]]:
        await ask(network.client("clinic"), network.nodes["clinic"], body_of())
        for node in network.nodes.values():
            await node.parts.dealings.written()
        return await state_of(network), await state_of(network, "clinic")

    hospital, clinic = in_network(databases, pki, run)

    [at_hospital] = [p for p in hospital["peers"] if p["ura"] == "90000002"]
    [at_clinic] = [p for p in clinic["peers"] if p["ura"] == "90000001"]
    assert at_hospital["token_in"] and not at_hospital["token_out"]
    assert at_clinic["token_out"] and not at_clinic["token_in"]


def test_neither_key_nor_token_nor_bsn_nor_person_is_told(databases: Databases, pki: Path) -> None:
    async def run(network: Network) -> str:
        await ask(network.client("clinic"), network.nodes["clinic"], body_of())
        for node in network.nodes.values():
            await node.parts.dealings.written()
        return json.dumps([await state_of(network), await state_of(network, "clinic")])

    told = in_network(databases, pki, run, insecure_presumed_consent=False)

    for secret in (JANSEN, NURSE["uzi"], NURSE["name"], "PRIVATE KEY", '"d"', str(pki)):
        assert secret not in told
    assert not re.search(r"eyJ[\w-]+\.", told)  # a signed token; a did:jwk is a public key
    for did in re.findall(r"did:jwk:([\w-]+)", told):
        assert set(json.loads(urlsafe_b64decode(did + "=="))) == {"kty", "crv", "x", "y"}


def test_refusals_come_in_pages_that_lead_to_the_next(databases: Databases, pki: Path) -> None:
    async def run(network: Network) -> list[list[str]]:
        client, url = network.client("clinic"), network.nodes["hospital"].url
        for number in range(5):
            headers = {"x-request-id": f"question-number-{number}"}
            await client.send("GET", f"{url}/fhir/STU3/Patient", headers=headers, deadline=10)
        await network.nodes["hospital"].parts.dealings.written()
        own, path, pages = network.client("hospital"), "/api/trust/refusals?count=2", []
        while path:
            page = json.loads((await get(own, network, path)).body)
            pages.append([r["correlation"][-1] for r in page["refusals"]])
            path = page["next"]
        return pages

    assert in_network(databases, pki, run) == [["4", "3"], ["2", "1"], ["0"]]


@pytest.mark.parametrize(
    "query",
    [
        "peer=1234567890",
        "peer=abc",
        "code=%3Cscript%3E",
        "direction=sideways",
        "since=yesterday",
        "since=2027-03-02T11:00:00",
        "until=2027-13-01",
        "before=-1",
        "before=9999999999999999999",
        "count=many",
        "patient=999911120",
        "peer=90000001&peer=90000002",
    ],
)
def test_a_filter_that_cannot_be_read_is_refused_by_name_and_not_repeated(query: str) -> None:
    with pytest.raises(LdnError) as refused:
        wanted_of(parse_qsl(query, keep_blank_values=True))

    assert refused.value.status == 400
    assert parse_qsl(query)[0][1] not in refused.value.message


def test_a_wrong_filter_is_an_answer_with_status_400(databases: Databases, pki: Path) -> None:
    async def run(network: Network) -> tuple[int, int]:
        client = network.client("hospital")
        wrong = await get(client, network, "/api/trust/refusals?code=%00")
        right = await get(client, network, "/api/trust/refusals?code=jwt.alg&since=2027-03-01")
        return wrong.status, right.status

    assert in_network(databases, pki, run) == (400, 200)


def test_a_wallet_and_documents_that_are_connected_are_told(
    databases: Databases, pki: Path
) -> None:
    ends = datetime(2027, 1, 1, tzinfo=UTC)

    class Wallet:
        async def shown(self) -> list[CredentialShown]:
            return [
                CredentialShown("X509Credential", "did:x509:0:…", "did:web:a", None, ends, "good")
            ]

    class Kept:
        def shown(self) -> list[DocumentShown]:
            return [DocumentShown("crl", "crl.example", 61.4, "fresh")]

    class Checked:
        async def of(self, key: KeyShown) -> Revocation:
            return Revocation("crl", ends, "good")

    async def run(network: Network) -> dict[str, Any]:
        state = trust_state(network.nodes["hospital"].parts)
        object.__setattr__(state, "credentials", Wallet())
        object.__setattr__(state, "documents", Kept())
        object.__setattr__(state, "revocations", Checked())
        return await state.whole()

    state = in_network(databases, pki, run)

    assert state["reasons"] == {}
    [credential] = state["credentials"]
    assert (credential["type"], credential["until"]) == (
        "X509Credential",
        "2027-01-01T00:00:00.000Z",
    )
    assert state["documents"] == [
        {"what": "crl", "host": "crl.example", "age": 61, "state": "fresh"}
    ]
    assert [k["revocation"]["state"] for k in state["keys"]] == ["good", "good", *["unknown"] * 2]


def test_the_wallet_and_the_lists_that_trust_rests_on_are_told(
    databases: Databases, pki: Path
) -> None:
    async def run(network: Network) -> dict[str, Any]:
        parts = network.nodes["hospital"].parts
        async with asyncio.timeout(10):
            while not await parts.means.wallet.held():  # made in the background at start
                await asyncio.sleep(0.02)
        return await state_of(network)

    state = in_network(databases, pki, run)

    [credential] = state["credentials"]
    assert credential["type"] == "X509Credential"
    assert credential["issuer"].startswith("did:x509:0:sha256:")
    assert credential["subject"].startswith("did:jwk:")
    assert (credential["status"], credential["days"] > 300) == ("good", True)
    told = {(d["what"], d["host"].partition(":")[0], d["state"]) for d in state["documents"]}
    assert told == {("crl", "127.0.0.1", "fresh")}


def test_a_certificate_of_our_own_that_was_revoked_is_told(
    databases: Databases, tmp_path: Path
) -> None:
    async def whole(pki: Path) -> dict[str, Any]:
        async with small_network(databases, pki) as network:
            await network.node("hospital")
            network.revoke("hospital", "signing")
            parts = network.nodes["hospital"].parts
            parts.believed.documents.forget()  # as after the 15 seconds that a list is fresh
            return await state_of(network)

    with authority(tmp_path):
        state = asyncio.run(whole(tmp_path))

    tls, signing, *_ = state["keys"]
    assert (tls["revocation"]["state"], signing["revocation"]["state"]) == ("good", "revoked")


def test_a_node_that_asks_no_lists_says_that_it_does_not_know(
    databases: Databases, pki: Path
) -> None:
    async def run(network: Network) -> dict[str, Any]:
        return await state_of(network)

    state = in_network(databases, pki, run, insecure_unchecked_revocation=True)

    assert {k["revocation"]["state"] for k in state["keys"]} == {"unknown"}


def test_a_key_in_pkcs12_is_told_as_such(databases: Databases, pki: Path, tmp_path: Path) -> None:
    store, secret = as_pkcs12(pki / "hospital", tmp_path)

    async def whole() -> dict[str, Any]:
        async with small_network(databases, pki) as network:
            await network.node("hospital", signing_key=store, secret_file=secret)
            return await state_of(network)

    _, signing, *_ = asyncio.run(whole())["keys"]

    assert (signing["store"], signing["level"]) == ("pkcs12", "ok")
    assert signing["revocation"]["state"] == "good"
    assert "Ziekenhuis De Brug" in signing["subject"]


def test_the_end_of_a_certificate_is_told_in_words_in_time() -> None:
    now = datetime(2027, 3, 1, tzinfo=UTC)
    begun = now - timedelta(days=300)

    ends = {31: "ok", 30: "soon", 8: "soon", 7: "urgent", 0: "urgent", -1: "ended"}

    for days, level in ends.items():
        assert level_of(begun, now + timedelta(days=days), now) == level, days
    assert level_of(now + timedelta(days=1), now + timedelta(days=9), now) == "future"


def test_a_renewed_or_broken_file_shows_at_once(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "hospital"
    shutil.copytree(pki / "hospital", folder)
    for name in ("ca.pem", "issuing.pem", "issuing.key"):
        shutil.copy(pki / name, tmp_path)

    async def run(network: Network) -> list[str]:
        settings = network.settings(
            "hospital", "postgresql://", signing_certificate=folder / "signing.pem"
        )
        seen = [keys_of(settings, None, utc_now())[1].level]
        ura, name = NAMES["hospital"]
        issue_signing(folder, Subject(ura, name), Term(utc_now, days=5))
        seen.append(keys_of(settings, None, utc_now())[1].level)
        (folder / "signing.pem").write_text("not a certificate")
        seen.append(keys_of(settings, None, utc_now())[1].level)
        (folder / "signing.pem").unlink()
        return [*seen, keys_of(settings, None, utc_now())[1].level]

    async def whole() -> list[str]:
        async with small_network(databases, pki) as network:
            return await run(network)

    assert asyncio.run(whole()) == ["ok", "urgent", "unreadable", "unreadable"]


def test_with_the_directory_away_the_rest_is_still_told(databases: Databases, pki: Path) -> None:
    async def run(network: Network) -> dict[str, Any]:
        parts = network.nodes["hospital"].parts
        parts.directory.forget()
        parts.directory.base = "https://127.0.0.1:9/fhir/R4"
        return await state_of(network)

    state = in_network(databases, pki, run)

    assert state["peers"] == []
    assert "cannot be reached" in state["reasons"]["peers"]
    assert len(state["keys"]) == 4
    assert [d["what"] for d in state["documents"]] == ["crl", "crl"]


def test_every_kept_refusal_has_a_code_of_a_rule(databases: Databases, pki: Path) -> None:
    async def run(network: Network) -> set[str]:
        node = network.nodes["hospital"]
        client = network.client("clinic")
        for token in ("", "Bearer wrong", "Basic x"):
            headers = {"authorization": token} if token else {}
            await client.send("GET", f"{node.url}/fhir/STU3/Patient", headers=headers, deadline=10)
        await node.parts.dealings.written()
        found = await node.parts.dealings.store.refusals(HOSPITAL, Wanted())
        return {k.refusal.code for k in found}

    assert in_network(databases, pki, run) <= {"issue.login"}
