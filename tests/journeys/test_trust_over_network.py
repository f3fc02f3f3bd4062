"""Each care provider with the trust of its own infrastructure, and the broker between them."""

import asyncio
import json
from itertools import product
from typing import Any

import pytest

from journeys.laptop import DOCTOR, JANSEN, Laptop, openldn, told, whole
from openldn.base.http import HttpClient, client_context
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.identifiers import Bsn, Ura
from openldn.testbench.members import MEMBERS, Member
from openldn.trust.broker.client import BrokerClient, Exchanged
from openldn.trust.broker.service import JWT, SAML, VP
from openldn.trust.parties import Person, Requester
from openldn.trust.tokens.signer import Signer
from openldn.trust.tokens.speaking import vouched

DIALECTS = {"lsp": "D2", "nuts": "D1", "zorgplatform": "SAML"}
PAIRS = list(product(MEMBERS, MEMBERS))
BY_KEY = {m.key: m for m in MEMBERS}


def named(pair: tuple[Member, Member]) -> str:
    return "-".join(m.key for m in pair)


@pytest.mark.parametrize("pair", PAIRS, ids=named)
def test_every_provider_gets_the_bgz_of_every_other_each_over_its_own_trust(
    network: Laptop, pair: tuple[Member, Member]
) -> None:
    asker, holder = pair
    reply = network.ask(asker.key, holder.ura)
    assert whole(reply), reply.body

    this_one = f"correlation={reply.headers['x-request-id']}"
    asked = network.events(asker.key, f"{this_one}&_tag=data-requested")
    served = network.events(holder.key, f"{this_one}&_tag=data-served")
    assert len(asked) == len(served) == 29
    across = asker.infrastructure != holder.infrastructure
    proven = {(told(e)["token-dialect"], told(e).get("acted-through")) for e in served}
    broker = network.plan.broker if across else None
    assert proven == {(DIALECTS[holder.infrastructure], broker)}


def test_a_nuts_node_holds_what_its_certificate_says_as_a_credential(network: Laptop) -> None:
    way = ["--network", str(network.folder), "--node", "rehabilitation"]
    done = openldn("wallet", "list", *way)
    assert done.returncode == 0, done.stderr
    assert "X509Credential" in done.stdout
    assert f"did:web:localhost%3A{network.plan.ports['rehabilitation']}:iam:90000003" in done.stdout


def exchanged(network: Laptop, holder: str, kind: str) -> Exchanged:
    """What the broker makes of the plain word of the general practice, for this holder."""
    gp, folder = BY_KEY["gp"], network.plan.pki / "gp"
    signer = Signer.load(folder / "signing.pem", folder / "signing.key")
    person = Person(DOCTOR["uzi"], DOCTOR["role"], DOCTOR["name"])
    patient = Bsn.parse(JANSEN)
    requester = Requester(Ura(gp.ura), frozenset({"bgz"}), "TREAT", gp.name, person, patient)

    async def word(audience: str, requester: Requester) -> tuple[str, str]:
        now = int(utc_now().timestamp())
        claims = {"iss": gp.ura, "sub": gp.ura, "aud": audience, "jti": new_uuid()}
        return signer.sign({**claims, "iat": now, "exp": now + 60, **vouched(requester)}), JWT

    async def run() -> Exchanged:
        client = HttpClient(client_context(network.identity("gp")))
        broker = BrokerClient(network.plan.broker, client, word, utc_now)
        issuer = f"{network.plan.origin(holder)}/oauth2/{BY_KEY[holder].ura}"
        try:
            return await broker.exchange(issuer, requester, kind)
        finally:
            await client.close()

    return asyncio.run(run())


def explained(network: Laptop, text: str) -> Any:
    done = openldn("trust", "explain", text, "--network", str(network.folder), "--json")
    assert JANSEN not in done.stdout
    found = json.loads(done.stdout)
    assert done.returncode == (0 if found["believed"] else 1)
    return found


@pytest.mark.parametrize(
    ("holder", "kind", "sort"),
    [("rehabilitation", VP, "presentation"), ("hospital", SAML, "saml")],
    ids=["presentation", "saml"],
)
def test_what_the_broker_made_is_explained_with_what_it_checked_before(
    network: Laptop, holder: str, kind: str, sort: str
) -> None:
    found = explained(network, exchanged(network, holder, kind).token)
    assert (found["kind"], found["act"]) == (sort, [network.plan.broker])
    # a presentation counts for five seconds, which may be over by now: that is all that is wrong
    wrong = {c["source"] for c in found["checks"] if c["outcome"] not in ("pass", "skip")}
    assert wrong <= {"R45"}
    earlier = {c["code"] for c in found["checks"] if c["said"] == "by the broker"}
    assert {"broker.once", "broker.scope"} <= earlier
    assert any(c["source"].startswith("RFC 5280 §6.3") for c in found["checks"])  # revocation


@pytest.mark.parametrize("key", [m.key for m in MEMBERS])
def test_a_check_of_the_connection_to_a_node_finds_nothing_wrong(network: Laptop, key: str) -> None:
    found = checked(network, key, options(network, BY_KEY[key]))
    assert [c for c in found if c["result"] == "fail"] == []
    passed = {c["id"] for c in found if c["result"] == "pass"}
    assert {"C01", "C07", "C13", "C14", "C20", "C22", "C33", "C34", "C35"} <= passed
    if BY_KEY[key].infrastructure == "lsp":
        assert {"C30", "C31", "C40"} <= passed


def checked(network: Laptop, key: str, options: list[str]) -> list[dict[str, Any]]:
    folder = network.plan.pki
    own = ["--client-cert", f"{folder}/gp/server.pem", "--client-key", f"{folder}/gp/server.key"]
    trust = ["--private", "--profile", "twiin-1.4", "--ca", f"{folder}/ca.pem", "--json"]
    place = f"127.0.0.1:{network.plan.ports[key]}"
    done = openldn("check", "connection", place, *own, *trust, *options)
    found: list[dict[str, Any]] = json.loads(done.stdout)["checks"]
    assert done.returncode == (1 if any(c["result"] == "fail" for c in found) else 0)
    return found


def options(network: Laptop, member: Member) -> list[str]:
    """What of this node can be checked beside its connection."""
    origin, port = network.plan.origin(member.key), network.plan.ports[member.key]
    found = ["--fhir", f"{origin}/fhir/R4", "--ura", member.ura]
    found += ["--did", f"did:web:localhost%3A{port}:iam:{member.ura}"]
    if member.infrastructure == "lsp":
        found += ["--aorta", f"{origin}/fhir/STU3/Patient"]
    if member.infrastructure != "zorgplatform":  # which has SAML, and no authorization server
        found += ["--issuer", f"{origin}/oauth2/{member.ura}"]
    return found
