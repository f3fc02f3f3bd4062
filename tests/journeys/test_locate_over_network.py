"""Who holds data of a patient, over the running network: registered, found, pulled, gone again.

Generic functions §4.6 (a withdrawal counts within five seconds) and §5.5.
"""

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest

from journeys.laptop import (
    CLINIC,
    DOCTOR,
    HOSPITAL,
    JANSEN,
    Laptop,
    openldn,
    reason,
    resources,
    until,
    whole,
)
from openldn.base.http import Reply
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import parse
from openldn.fhir.identifiers import BSN_SYSTEM, Bsn
from openldn.functions.authentication.client import ServiceTokens, Target
from openldn.functions.consent.client_choices import Choices
from openldn.functions.consent.model import Choice, Decision
from openldn.functions.consent.persons import Chooser
from openldn.testbench.laptop.loading import client_of
from openldn.testbench.members import CONSENT

SMIT, BORN = "999997403", date(1958, 3, 2)  # known to nobody until a test says so
WITHIN = 5.0  # seconds in which a withdrawal counts
PATIENT = {
    "resourceType": "Patient",
    "id": "smit",
    "identifier": [{"system": BSN_SYSTEM, "value": SMIT}],
    "name": [{"family": "Smit"}],
    "birthDate": BORN.isoformat(),
}
CONDITION = {
    "resourceType": "Condition",
    "id": "smit-1",
    "clinicalStatus": "active",
    "subject": {"reference": "Patient/smit"},
    "code": {"text": "hoofdpijn"},
}


def locate(laptop: Laptop, asker: str, bsn: str) -> Reply:
    """Ask through the asker's own node who holds data."""
    body = json.dumps({"bsn": bsn, "purpose": "TREAT", "practitioner": DOCTOR}).encode()
    url = f"{laptop.node(asker)['api']}/locate"
    return laptop.call(asker, "POST", url, body, {"content-type": "application/json"})


def located(laptop: Laptop, asker: str, bsn: str) -> list[str]:
    reply = locate(laptop, asker, bsn)
    assert reply.status == 200, reply.body
    return [holder["ura"] for holder in parse(reply.body)["holders"]]


def keep(laptop: Laptop, key: str, *resources: dict[str, Any]) -> None:
    """Put these in the records of this provider, as its own software does."""
    for resource in resources:
        url = f"{station(laptop, key)}/{resource['resourceType']}/{resource['id']}"
        headers = {"content-type": "application/fhir+json"}
        reply = laptop.call(key, "PUT", url, json.dumps(resource).encode(), headers)
        assert reply.status in {200, 201}, reply.body


def lose(laptop: Laptop, key: str, *resources: dict[str, Any]) -> None:
    """Delete these there."""
    for resource in resources:
        url = f"{station(laptop, key)}/{resource['resourceType']}/{resource['id']}"
        assert laptop.call(key, "DELETE", url).status in {200, 204}


def station(laptop: Laptop, key: str) -> str:
    return f"{laptop.node(key)['api'].removesuffix('/api')}/station/STU3"


def choose(laptop: Laptop, decision: Decision) -> None:
    """Let the patient choose this for everybody, at the registry."""

    async def run() -> None:
        origin, client = laptop.plan.origin("consent"), client_of(laptop.plan, CONSENT.key)
        tokens = ServiceTokens(Target(origin, origin, CONSENT.ura), client, utc_now, new_uuid)

        async def headers() -> dict[str, str]:
            return {"authorization": f"Bearer {await tokens.bearer('consent:choose')}"}

        door, patient = Choices(client, origin, headers, 20), Bsn.parse(SMIT)
        try:
            version = (await door.read(patient)).version
            everything = [Choice(new_uuid(), decision)]
            await door.record(patient, BORN, Chooser.SELF, everything, version)
        finally:
            await client.close()

    asyncio.run(run())


def refused(reply: Reply) -> bool:
    """Whether every query was refused for want of consent."""
    found = resources(reply)
    assert reply.status == 200 and found
    issues = [r["issue"][0] for r in found if r["resourceType"] == "OperationOutcome"]
    return len(issues) == len(found) and {i["code"] for i in issues} == {"forbidden"}


@pytest.fixture
def smit(network: Laptop) -> Iterator[Laptop]:
    """The network, with a patient whom only the hospital knows and who consents."""
    keep(network, "hospital", PATIENT, CONDITION)
    choose(network, Decision.PERMIT)
    until(lambda: located(network, "clinic", SMIT) == [HOSPITAL], "the hospital is located", 20)
    yield network
    lose(network, "hospital", CONDITION, PATIENT)
    until(lambda: not located(network, "clinic", SMIT), "nobody is located", 20)


def test_who_is_located_gives_the_data(smit: Laptop) -> None:
    [holder] = parse(locate(smit, "clinic", SMIT).body)["holders"]
    assert holder == {"ura": HOSPITAL, "name": "Ziekenhuis De Brug", "able": True, "reason": ""}

    reply = smit.ask("clinic", holder["ura"], SMIT)

    assert whole(reply)
    assert [r["id"] for r in resources(reply) if r["resourceType"] == "Condition"] == ["smit-1"]


def test_when_all_data_are_gone_the_holder_is_located_no_longer(network: Laptop) -> None:
    keep(network, "hospital", PATIENT, CONDITION)
    until(lambda: located(network, "clinic", SMIT) == [HOSPITAL], "the hospital is located", 20)

    lose(network, "hospital", CONDITION, PATIENT)

    until(lambda: located(network, "clinic", SMIT) == [], "nobody is located", 20)


def test_a_withdrawal_at_the_registry_stops_the_holder_within_five_seconds(smit: Laptop) -> None:
    assert whole(smit.ask("clinic", HOSPITAL, SMIT))

    choose(smit, Decision.DENY)
    withdrawn = time.monotonic()
    began = withdrawn
    while not refused(smit.ask("clinic", HOSPITAL, SMIT)):
        assert began - withdrawn < WITHIN, "still given more than five seconds after"
        began = time.monotonic()

    assert located(smit, "clinic", SMIT) == [HOSPITAL]  # the index knows of data, not of consent
    choose(smit, Decision.PERMIT)
    until(lambda: whole(smit.ask("clinic", HOSPITAL, SMIT)), "it is given again", 20)


def test_an_index_that_does_not_answer_is_an_error_and_not_emptiness(network: Laptop) -> None:
    until(lambda: HOSPITAL in located(network, "clinic", JANSEN), "it is registered", 20)
    stopped = network.pids("functions")
    assert stopped
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    try:
        reply = locate(network, "clinic", JANSEN)
        done = openldn(
            "locate", "--network", str(network.folder), "--from", "clinic", "--bsn", JANSEN
        )
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)

    assert reply.status in {502, 503, 504}
    assert "cannot be known now" in reason(reply)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr.count("\n") == 1 and "cannot be known now" in done.stderr
    until(lambda: HOSPITAL in located(network, "clinic", JANSEN), "it answers again", 30)


def test_who_searched_keeps_evidence_of_it(network: Laptop) -> None:
    reply = locate(network, "clinic", JANSEN)

    assert reply.status == 200
    events = network.events("clinic", f"correlation={reply.headers['x-request-id']}")
    codes = sorted(event["meta"]["tag"][0]["code"] for event in events)
    assert codes == ["localization-queried", "pseudonym-requested"]
    assert {event["source"]["site"] for event in events} == {CLINIC}


def test_the_command_shows_names_and_no_patient(network: Laptop) -> None:
    until(lambda: HOSPITAL in located(network, "clinic", JANSEN), "it is registered", 20)

    done = openldn("locate", "--network", str(network.folder), "--from", "clinic", "--bsn", JANSEN)

    assert done.returncode == 0, done.stderr
    assert "Ziekenhuis De Brug" in done.stdout and "can be asked" in done.stdout
    assert JANSEN not in done.stdout + done.stderr
