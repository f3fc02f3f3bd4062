"""openldn send and openldn push: from files to another provider, and what became of it."""

import asyncio
import json
import re
from pathlib import Path

import pytest
from access.administration.test_real_node import network_file
from conftest import Databases
from node.push_network import pair
from node.small_network import CLINIC
from pushes import SYSTEM, created, observation, patient, transaction, urn
from typer.testing import CliRunner

from openldn.base.errors import LdnError
from openldn.cli import build
from openldn.cli.send import looked_through
from openldn.fhir.codec import dump, parse
from openldn.fhir.model import Resource
from openldn.node.push.settings import PushSettings

TAKES = PushSettings(accept=("referral/send", "prescription/prescribe"), ask=("referral/send",))


def written(folder: Path, name: str, content: Resource | bytes) -> str:
    file = folder / name
    file.write_bytes(content if isinstance(content, bytes) else dump(content))
    return str(file)


_LOGGED = re.compile(r"\d{4}-\d\d-\d\d \d\d:")


async def openldn(*words: str) -> tuple[int, str, str]:
    """Exit code, standard output and the failure of a command, run beside the nodes."""

    def run() -> tuple[int, str, str]:
        done = CliRunner().invoke(build((words[0],)), list(words))
        failed = done.exception.message if isinstance(done.exception, LdnError) else ""
        # the nodes in this process write their log to the same place
        own = [line for line in done.stdout.splitlines() if not _LOGGED.match(line)]
        return done.exit_code, "".join(f"{line}\n" for line in own), failed

    return await asyncio.to_thread(run)


async def sent(folder: Path, *words: str) -> tuple[int, str, str]:
    return await openldn("send", *words, "--network", str(folder), "--from", "hospital")


async def at(node: str, folder: Path, *words: str) -> tuple[int, str, str]:
    return await openldn("push", *words, "--network", str(folder), "--node", node)


def condition() -> Resource:
    resource = {
        "resourceType": "Condition",
        "identifier": [{"system": SYSTEM, "value": "c-1"}],
        "subject": {"reference": patient()["fullUrl"]},
    }
    return created(resource, urn(3), f"identifier={SYSTEM}|c-1")


def test_files_are_sent_waited_for_followed_and_decided(
    databases: Databases, pki: Path, tmp_path: Path
) -> None:
    async def run() -> None:
        async with pair(databases, pki, TAKES) as two:
            (tmp_path / "network.json").write_text(json.dumps(network_file(two.network)))
            order = {
                **observation(1)["resource"],
                "resourceType": "MedicationRequest",
                "status": "active",
                "intent": "order",
                "medicationCodeableConcept": {"text": "paracetamol"},
            }
            order.pop("code")
            entry = observation(1)
            asked = {**entry["request"], "url": "MedicationRequest"}
            entry = {**entry, "resource": order, "request": asked}
            good = written(tmp_path, "good.json", transaction(patient(), entry))
            kind = ("--to", "clinic", "--exchange", "prescription", "--use-case", "prescribe")

            code, out, err = await sent(tmp_path, good, *kind, "--wait", "--json")
            assert (code, err) == (0, "")
            first = parse(out.encode())
            assert (first["state"], first["file"], first["entries"]) == ("accepted", good, 2)

            code, out, err = await sent(tmp_path, good, *kind, "--wait")
            assert (code, err) == (0, "")
            assert out.startswith(f"{first['id']}  accepted") and str(CLINIC) in out

            code, out, _ = await at("hospital", tmp_path, "list")
            assert code == 0 and out.count("\n") == 1 and first["id"] in out
            code, out, _ = await at("hospital", tmp_path, "receipt", first["id"])
            assert parse(out.encode())["type"] == "transaction-response"

            wrong = written(tmp_path, "wrong.json", transaction(patient(), condition()))
            code, out, err = await sent(tmp_path, wrong, *kind)
            assert (code, out) == (1, "") and "nothing was sent [type]" in err

            referral = ("--to", str(CLINIC), "--exchange", "referral")
            code, out, err = await sent(tmp_path, wrong, *referral, "--json")
            assert (code, err) == (0, "")
            waits = parse(out.encode())["id"]
            await two.sender.until(waits, "received")
            _, out, _ = await at("clinic", tmp_path, "list", "--side", "received", "--json")
            [copy] = [p for p in parse(out.encode()) if p["state"] == "received"]
            code, out, _ = await at("clinic", tmp_path, "accept", copy["id"])
            assert code == 0 and "accepted" in out
            await two.sender.node.parts.pushing.carrying.look()
            code, out, _ = await at("hospital", tmp_path, "show", waits)
            assert code == 0 and "accepted" in out

            code, _, err = await at("clinic", tmp_path, "refuse", copy["id"], "--reason", "late")
            assert code == 1 and "does not wait" in err

    asyncio.run(run())


def test_wrong_input_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    cases: dict[str, tuple[Resource | bytes | None, str]] = {
        "none.json": (None, "No such file"),
        "list.json": (b"[]", "JSON object"),
        "cut.json": (b'{"resourceType":"Bundle","entry":[{', "well-formed"),
        "patient.json": (patient()["resource"], "not a Bundle"),
    }
    for name, (content, words) in cases.items():
        if content is not None:
            written(tmp_path, name, content)
        with pytest.raises(LdnError) as told:
            looked_through(tmp_path / name)
        assert words in told.value.message and name in told.value.message, told.value.message


def test_what_cannot_be_sent_is_told_without_a_number(tmp_path: Path) -> None:
    async def run() -> None:
        place = ("--to", "90000002", "--from", "x", "--network", str(tmp_path))
        two = written(tmp_path, "two.json", transaction(patient(), patient("999900006")))

        code, out, err = await openldn("send", two, *place, "--exchange", "bgz")
        assert (code, out) == (1, "") and "choose from eoverdracht, prescription, referral" in err
        code, out, err = await openldn("send", two, *place, "--exchange", "prescription")
        assert (code, out) == (1, "") and "choose from prescribe, dispense" in err
        code, out, err = await openldn("send", two, *place, "--exchange", "referral")
        assert (code, out) == (1, "") and "no network at" in err and "9999" not in err

    asyncio.run(run())


def test_the_same_content_to_the_same_receiver_is_one_message(tmp_path: Path) -> None:
    one = looked_through(Path(written(tmp_path, "a.json", transaction(patient()))))
    same = looked_through(Path(written(tmp_path, "b.json", transaction(patient()))))
    other = looked_through(Path(written(tmp_path, "c.json", transaction(observation(1)))))

    assert one.message("a", "b") == same.message("a", "b")
    assert len({one.message("a", "b"), one.message("a", "c"), other.message("a", "b")}) == 3
    assert one.patients == {"999911120"} and other.patients == frozenset()
