"""A BgZ is asked over the running network; what is not right is refused and told.

What is done with a token in hand is done at the clinic: those of the LSP can be asked as here.
"""

import asyncio
import base64
import json
import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from journeys.laptop import (
    CLINIC,
    HOSPITAL,
    JANSEN,
    NOBODY,
    PHARMACY,
    SILENT,
    Laptop,
    openldn,
    reason,
    resources,
    until,
)
from openldn.base.errors import LdnError
from openldn.base.http import HttpClient, Identity, Reply, client_context
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import parse
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn, Ura
from openldn.functions.addressing.client import DirectoryClient
from openldn.functions.addressing.model import Organization
from openldn.infrastructures.lsp import VERSION
from openldn.testbench.synth.people import FAMILIES, bsns
from openldn.trust.aorta.headers import AortaId
from openldn.trust.certificates.issue import Subject, Term, create_authority, issue_server
from openldn.trust.parties import Person, Requester
from openldn.trust.tokens.client import TokenClient
from openldn.trust.tokens.dialects import CLIENT_ASSERTION_TYPE, JWT_BEARER
from openldn.trust.tokens.signer import Signer

REHABILITATION = "90000003"
CONDITIONS = f"Condition?{urlencode({'patient.identifier': f'{BSN_SYSTEM}|{JANSEN}'})}"


def queries(events: list[dict[str, Any]]) -> Counter[str]:
    """What was asked, as the evidence keeps it."""
    return Counter(
        base64.b64decode(entity["query"]).decode()
        for event in events
        for entity in event["entity"]
        if "query" in entity
    )


def token_for(network: Laptop, asker: str, holder: str, bsn: str = JANSEN) -> str:
    """A token of the holder's authorization server, asked as the asker's node asks it."""
    member = next(m for m in network.plan.members if m.key == holder)
    asking = next(m for m in network.plan.members if m.key == asker)
    folder = network.plan.pki / asker
    requester = Requester(
        Ura(asking.ura),
        frozenset({"bgz"}),
        "TREAT",
        asking.name,
        Person("900000033", "01.015", "L. Prins"),
        Bsn.parse(bsn),
    )

    async def run() -> str:
        client = HttpClient(client_context(network.identity(asker)))
        signer = Signer.load(folder / "signing.pem", folder / "signing.key")
        tokens = TokenClient(signer, lambda ura: client, utc_now, new_uuid)
        try:
            issuer = f"{network.plan.origin(holder)}/oauth2/{member.ura}"
            return (await tokens.token(Ura(member.ura), issuer, requester)).value
        finally:
            await client.close()

    return asyncio.run(run())


def visit(network: Laptop, who: str, holder: str, token: str, query: str) -> Reply:
    """Ask a holder's data with this token, on a connection of `who`."""
    url = f"{network.plan.origin(holder)}/fhir/STU3/{query}"
    headers = {"authorization": f"Bearer {token}", **in_chain()}
    return network.call(who, "GET", url, headers=headers)


def in_chain() -> dict[str, str]:
    """What the LSP wants to know of every message."""
    ids = AortaId.begin(new_uuid)
    return {"aorta-id": str(ids.hop(new_uuid)), "aorta-version": str(VERSION)}


def test_every_part_of_the_table_answers(network: Laptop) -> None:
    holders = json.loads(network.call("gp", "GET", f"{network.node('gp')['api']}/holders").body)
    assert {h["ura"]: (h["name"], h["active"], h["bgz"]) for h in holders["holders"]} == {
        "90000001": ("Ziekenhuis De Brug", True, True),
        "90000002": ("Kliniek Het Veer", True, True),
        "90000003": ("Revalidatiecentrum De Linde", True, True),
        "90000004": ("Huisartsenpraktijk Het Plein", True, True),
        "90000005": ("Apotheek De Vijzel", True, True),
    }
    ways = {m.infrastructure for m in network.plan.members}
    assert ways == {"zorgplatform", "lsp", "nuts"}
    assert "all healthy after" in network.said
    assert all(network.plan.origin(m.key) in network.said for m in network.plan.members)


def test_a_bgz_comes_whole_and_both_sides_hold_the_same_evidence(network: Laptop) -> None:
    reply = network.ask("rehabilitation", HOSPITAL)

    assert reply.status == 200, reply.body
    bundle = parse(reply.body)
    found = resources(reply)
    assert bundle["type"] == "collection"
    assert len({e["fullUrl"] for e in bundle["entry"]}) == len(bundle["entry"])
    kinds = Counter(r["resourceType"] for r in found)
    assert "OperationOutcome" not in kinds
    assert {"Patient": 1, "Condition": 2, "AllergyIntolerance": 1}.items() <= kinds.items()
    patient = next(r for r in found if r["resourceType"] == "Patient")
    assert patient["identifier"][0] == {"use": "official", "system": BSN_SYSTEM, "value": JANSEN}

    correlation = reply.headers["x-request-id"]
    assert bundle["identifier"]["value"] == correlation
    asked = network.events("rehabilitation", f"correlation={correlation}&_tag=data-requested")
    served = network.events("hospital", f"correlation={correlation}&_tag=data-served")
    assert len(asked) == len(served) == 29
    assert queries(asked) == queries(served)
    assert max(queries(asked).values()) == 1
    assert {e["outcome"] for e in (*asked, *served)} == {"0"}


def test_the_evidence_is_whole(network: Laptop) -> None:
    network.ask("rehabilitation", HOSPITAL)
    for key in ("rehabilitation", "hospital"):
        done = openldn("audit", "verify", "--network", str(network.folder), "--node", key)
        assert (done.returncode, done.stdout[:6]) == (0, "whole:"), done.stderr


def test_every_provider_can_be_asked_by_every_other(network: Laptop) -> None:
    for asker in network.plan.members[1:]:
        for holder in (HOSPITAL, PHARMACY):
            reply = network.ask(asker.key, holder)
            assert reply.status == 200
            kinds = {r["resourceType"] for r in resources(reply)}
            assert "AllergyIntolerance" in kinds and "OperationOutcome" not in kinds


def test_a_provider_that_does_not_know_the_patient_gives_an_empty_answer(network: Laptop) -> None:
    network.consent(NOBODY)
    reply = network.ask("rehabilitation", PHARMACY, NOBODY)
    assert (reply.status, resources(reply)) == (200, [])


def test_a_patient_who_chose_nothing_is_not_told_of(network: Laptop) -> None:
    reply = network.ask("rehabilitation", PHARMACY, SILENT)
    assert {r["resourceType"] for r in resources(reply)} == {"OperationOutcome"}


def test_an_unknown_holder_is_told(network: Laptop) -> None:
    reply = network.ask("rehabilitation", "90000042")
    assert reply.status == 404
    assert "knows no" in reason(reply) and "90000042" in reason(reply)


@pytest.mark.parametrize("bsn", ["123456789", "99991112", "999911120 ", "", "000000000"])
def test_a_wrong_bsn_is_refused_and_not_repeated(network: Laptop, bsn: str) -> None:
    reply = network.ask("rehabilitation", HOSPITAL, bsn)
    assert reply.status == 400
    assert "BSN" in reason(reply)
    assert not bsn.strip() or bsn.strip() not in reply.body.decode()


def test_ask_prints_one_collection_bundle(network: Laptop) -> None:
    way = ["--network", str(network.folder), "--from", "rehabilitation", "--holder", HOSPITAL]
    done = openldn("ask", *way, "--exchange", "bgz", "--bsn", JANSEN)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["type"] == "collection"
    table = openldn("ask", *way, "--bsn", JANSEN, "--format", "table")
    assert table.returncode == 0
    assert "Condition" in table.stdout


def test_ask_tells_a_failure_as_an_outcome_and_by_its_exit_code(network: Laptop) -> None:
    way = ["--network", str(network.folder), "--from", "rehabilitation"]
    done = openldn("ask", *way, "--holder", "90000042", "--bsn", JANSEN)
    assert (done.returncode, done.stdout) == (1, "")
    assert json.loads(done.stderr)["resourceType"] == "OperationOutcome"


def test_audit_lists_what_was_asked_without_showing_a_bsn(network: Laptop) -> None:
    correlation = network.ask("rehabilitation", HOSPITAL).headers["x-request-id"]
    way = ["--network", str(network.folder), "--node", "hospital", "--correlation", correlation]
    done = openldn("audit", "list", *way)
    assert done.returncode == 0, done.stderr
    assert "data-served" in done.stdout
    assert JANSEN not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "path", ["/api/holders", "/api/audit?date=ge2026-01-01", "/station/STU3/Patient"]
)
def test_the_certificate_of_another_organization_is_refused_at_a_nodes_own_doors(
    network: Laptop, path: str
) -> None:
    reply = network.call("clinic", "GET", f"{network.plan.origin('hospital')}{path}")
    assert reply.status == 403, reply.body
    assert "own" in reason(reply)
    assert JANSEN not in reply.body.decode()


def test_without_a_token_nothing_is_answered(network: Laptop) -> None:
    reply = network.call(
        "clinic", "GET", f"{network.plan.origin('hospital')}/fhir/STU3/{CONDITIONS}"
    )
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith("Bearer")


def test_a_stolen_token_is_worth_nothing_over_another_certificate(network: Laptop) -> None:
    token = token_for(network, "rehabilitation", "clinic")
    own = visit(network, "rehabilitation", "clinic", token, f"{CONDITIONS}&category=x")
    assert own.status in {200, 403}  # the token itself counts
    stolen = visit(network, "hospital", "clinic", token, CONDITIONS)
    assert stolen.status == 401
    assert stolen.headers["www-authenticate"].startswith("Bearer")


def test_a_token_of_another_node_is_refused(network: Laptop) -> None:
    token = token_for(network, "rehabilitation", "clinic")
    assert visit(network, "rehabilitation", "gp", token, CONDITIONS).status == 401


def test_a_replayed_assertion_is_refused(network: Laptop) -> None:
    folder = network.plan.pki / "rehabilitation"
    signer = Signer.load(folder / "signing.pem", folder / "signing.key")
    issuer = f"{network.plan.origin('clinic')}/oauth2/{CLINIC}"
    now = int(utc_now().timestamp())
    claims = {"iss": REHABILITATION, "sub": REHABILITATION, "aud": issuer}
    times = {"iat": now, "exp": now + 60}
    word = {"purpose": "TREAT", "patient": JANSEN}
    form = {
        "grant_type": JWT_BEARER,
        "assertion": signer.sign({**claims, **times, **word, "jti": new_uuid()}),
        "client_assertion_type": CLIENT_ASSERTION_TYPE,
        "client_assertion": signer.sign({**claims, **times, "jti": new_uuid()}),
        "scope": "bgz",
    }
    kind = {"content-type": "application/x-www-form-urlencoded"}
    body = urlencode(form).encode()
    first, again = (
        network.call("rehabilitation", "POST", f"{issuer}/token", body, kind) for _ in range(2)
    )
    assert first.status == 200, first.body
    assert again.status == 400
    assert json.loads(again.body)["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "query",
    [
        "Patient/jansen",
        "Patient/jansen/_history",
        "Task",
        f"{CONDITIONS}&_revinclude=AuditEvent:entity",
        f"{CONDITIONS}&_include=Condition:asserter",
        f"{CONDITIONS}&_count=1&_count=2",
    ],
)
def test_a_query_outside_the_exchange_is_refused_with_its_reasons(
    network: Laptop, query: str
) -> None:
    token = token_for(network, "rehabilitation", "clinic")
    reply = visit(network, "rehabilitation", "clinic", token, query)
    assert reply.status == 403, reply.body
    assert reason(reply).startswith("refused: ")


def test_a_token_for_one_patient_does_not_open_another(network: Laptop) -> None:
    token = token_for(network, "rehabilitation", "clinic", NOBODY)
    reply = visit(network, "rehabilitation", "clinic", token, CONDITIONS)
    assert reply.status == 403
    assert JANSEN not in reply.body.decode()


def refused_by_tls(network: Laptop, identity: Identity) -> str:
    with pytest.raises(LdnError) as caught:
        network.call(identity, "GET", f"{network.plan.origin('hospital')}/fhir/STU3/{CONDITIONS}")
    return caught.value.message


def test_an_expired_certificate_is_refused_and_the_cause_is_told(network: Laptop) -> None:
    folder = network.plan.pki / "expired"
    past = Term(lambda: utc_now() - timedelta(days=2), days=1)
    issue_server(folder, Subject(Ura(CLINIC), "Kliniek Het Veer"), past)
    assert "expired; renew it" in refused_by_tls(network, network.identity("expired"))


def test_a_certificate_of_a_foreign_authority_is_refused_and_the_cause_is_told(
    network: Laptop, tmp_path: Path
) -> None:
    create_authority(tmp_path)
    issue_server(tmp_path / "clinic", Subject(Ura(CLINIC), "Kliniek Het Veer"))
    folder = tmp_path / "clinic"
    foreign = Identity(folder / "server.pem", folder / "server.key", network.plan.pki / "ca.pem")
    assert "check our certificate" in refused_by_tls(network, foreign)


def test_a_holder_with_a_foreign_certificate_is_not_believed(
    network: Laptop, tmp_path: Path
) -> None:
    create_authority(tmp_path)
    clinic = network.identity("clinic")
    with pytest.raises(LdnError) as caught:
        distrusting = Identity(clinic.certificate, clinic.key, tmp_path / "ca.pem")
        network.call(distrusting, "GET", f"{network.plan.origin('hospital')}/health")
    assert "not one we trust" in caught.value.message


def test_who_left_the_network_is_refused_within_fifteen_seconds(network: Laptop) -> None:
    pharmacy = Organization(Ura(PHARMACY), "Apotheek De Vijzel", active=True, kind="pharmacy")
    token = token_for(network, "pharmacy", "clinic")
    assert network.ask("pharmacy", HOSPITAL).status == 200

    async def leave() -> None:
        client = HttpClient(client_context(network.identity("pharmacy")))
        base = f"{network.plan.origin('addressing')}/fhir/R4"
        await DirectoryClient(client, base, utc_now).withdraw(pharmacy)
        await client.close()

    asyncio.run(leave())
    try:
        until(
            lambda: visit(network, "pharmacy", "clinic", token, CONDITIONS).status == 401,
            "the pharmacy's token no longer counts",
            15,
        )
        until(
            lambda: network.ask("clinic", PHARMACY).status == 404,
            "the pharmacy cannot be asked any more",
            15,
        )
    finally:  # a node that starts publishes its organization anew
        (pid,) = network.pids("pharmacy")
        os.kill(pid, signal.SIGKILL)
        until(lambda: network.ask("clinic", PHARMACY).status == 200, "the pharmacy is back", 30)


def statuses(network: Laptop, holder: str) -> Counter[str]:
    found = resources(network.ask("rehabilitation", holder))
    return Counter(r["issue"][0]["code"] for r in found if r["resourceType"] == "OperationOutcome")


@pytest.fixture
def frozen(network: Laptop) -> Iterator[None]:
    """The clinic's node does nothing for as long as the test lasts."""
    (pid,) = network.pids("clinic")
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)


def test_a_holder_that_is_slow_is_told_per_query_and_hinders_nobody(
    network: Laptop, frozen: None
) -> None:
    late = statuses(network, CLINIC)
    assert late == {"timeout": 29}
    assert statuses(network, HOSPITAL) == {}


def test_a_holder_that_is_killed_stands_again(network: Laptop) -> None:
    (pid,) = network.pids("clinic")
    os.kill(pid, signal.SIGKILL)
    down = statuses(network, CLINIC)
    assert set(down) <= {"incomplete"}, down
    until(lambda: not statuses(network, CLINIC), "the clinic answers again", 30)
    assert network.pids("clinic") != [pid]
    assert "clinic           ended (signal 9), starting again" in network.said


def names() -> Iterator[str]:
    yield from (b.value for b, _ in zip(bsns(), range(40), strict=False))
    yield from (JANSEN, NOBODY, "Jansen", "Prins", "Johanna")
    yield from FAMILIES


def test_no_bsn_and_no_name_stands_in_any_log(network: Laptop) -> None:
    network.ask("rehabilitation", HOSPITAL)
    network.ask("rehabilitation", HOSPITAL, "123456789")
    logs = sorted((network.folder / "logs").iterdir())
    whose = {member.key for member in network.plan.members}
    whose |= {"postgres", "functions", "broker", "simulators", "portal"}
    assert {log.stem for log in logs} == whose
    text = "\n".join(log.read_text(encoding="utf-8") for log in logs) + network.said
    assert '"event":"request"' in text
    pattern = "|".join(rf"\b{re.escape(name)}\b" for name in names())
    assert re.findall(pattern, text) == []
    assert "123456789" not in text
