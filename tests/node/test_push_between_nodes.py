"""Pushes between two nodes over real TLS; verifies docs/explain/push.md (patterns §8).

All tests share one network; each uses identifiers of its own.
"""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from node.push_network import App, Pair, Stranger, pair, reasons, wish
from node.small_network import CLINIC, HOSPITAL, JANSEN
from pushes import OTHER, SYSTEM, document, observation, patient, transaction, urn

from openldn.base.errors import LdnError
from openldn.base.http import Reply
from openldn.fhir.codec import Format, decode, dump, parse
from openldn.fhir.identifiers import BSN_SYSTEM
from openldn.fhir.model import FhirVersion, Resource
from openldn.node.push.settings import PushSettings
from openldn.node.push.taking import SENDER

TAKES = PushSettings(
    accept=("referral/send", "eoverdracht/send"),
    entries=200,
    megabytes=1,
    entry_megabytes=1,
)
Story = Callable[[Pair], Coroutine[Any, Any, None]]
Tell = Callable[[Story], None]


@pytest.fixture(scope="module")
def told(databases: Databases, pki: Path) -> Iterator[Tell]:
    """Plays a story on the network of this file."""
    loop = asyncio.new_event_loop()
    network = pair(databases, pki, TAKES)
    two = loop.run_until_complete(network.__aenter__())
    try:
        yield lambda story: loop.run_until_complete(story(two))
    finally:
        loop.run_until_complete(network.__aexit__(None, None, None))
        loop.close()


def numbered(number: int) -> str:
    return f"urn:uuid:aaaaaaaa-0000-4000-8000-{number:012}"


async def there(two: Pair, number: int) -> list[Resource]:
    """The observations with this number that the receiver has."""
    return await two.receiver.found("Observation", identifier=f"{SYSTEM}|o-{number}")


def test_a_transaction_is_sent_taken_and_answered_with_a_receipt(told: Tell) -> None:
    async def story(two: Pair) -> None:
        done = await two.sender.pushed(transaction(patient(), observation(1), observation(2)))

        assert (done["state"], done["reason"], done["entries"]) == ("accepted", None, 3), done
        receipt = await two.sender.receipt(done["id"])
        statuses = [e["response"]["status"] for e in receipt["entry"]]
        assert statuses == ["200 OK", "201 Created", "201 Created"]
        [one], [person] = await there(two, 1), await two.receiver.found("Patient")
        assert one["subject"]["reference"] == f"Patient/{person['id']}"
        assert {"system": SENDER, "code": str(HOSPITAL)} in one["meta"]["tag"]
        copies = await two.receiver.listed("received")
        [copy] = [c for c in copies if c["message"] == done["message"]]
        assert (copy["digest"], copy["state"]) == (done["digest"], "accepted")
        assert await two.receiver.receipt(copy["id"]) == receipt

    told(story)


def test_pu16_both_sides_have_one_event_of_it_with_patient_person_and_ground(told: Tell) -> None:
    async def story(two: Pair) -> None:
        done = await two.sender.pushed(transaction(patient(), observation(10)))

        sent = await two.sender.node.events(done["correlation"], "data-pushed")
        received = await two.receiver.node.events(done["correlation"], "data-received")
        for [event], code in ((sent, "data-pushed"), (received, "data-received")):
            text = dump(event).decode()
            assert event["outcome"] == "0", event
            assert all(word in text for word in (JANSEN, "900012345", done["message"], "push"))
            assert "implied-consent" in text and code in text

    told(story)


def test_r81_no_number_and_no_name_stands_in_a_log(
    told: Tell, capfd: pytest.CaptureFixture[str]
) -> None:
    async def story(two: Pair) -> None:
        await two.sender.pushed(transaction(patient(), observation(15)))
        wrong = observation(16, encounter={"reference": "Encounter/1"})
        await two.sender.send("POST", "", wish(transaction(patient(), wrong)))
        await Stranger(two).post(dump(transaction(patient(OTHER))), numbered(15))
        await Stranger(two).post(dump(patient())[:-1], numbered(16))

    capfd.readouterr()
    told(story)
    lines = "".join(capfd.readouterr())

    assert "route=push" in lines
    assert not any(word in lines for word in (JANSEN, OTHER, "Jansen", "Pleeg", "900012345"))


def test_pu13_the_same_message_twice_has_one_effect_and_one_receipt(told: Tell) -> None:
    async def story(two: Pair) -> None:
        content = dump(transaction(patient(), observation(20)))
        stranger = Stranger(two)

        first = await stranger.post(content, numbered(20))
        again = await stranger.post(content, numbered(20))
        at_once = await asyncio.gather(
            *(stranger.post(content, numbered(21)) for _ in range(5)),
        )

        assert (first.status, again.status) == (200, 200)
        assert first.body == again.body
        assert len({r.body for r in at_once}) == 1 and {r.status for r in at_once} == {200}
        assert len(await there(two, 20)) == 1

    told(story)


def test_pu13_an_application_that_tries_again_makes_no_second_push(told: Tell) -> None:
    async def story(two: Pair) -> None:
        bundle = transaction(patient(), observation(25))

        first = await two.sender.push(bundle, message=numbered(25))
        again = await two.sender.push(bundle, message=numbered(25))
        other = await two.sender.send("POST", "", wish(bundle, message=numbered(25), bsn=OTHER))

        assert first["id"] == again["id"]
        assert (await two.sender.until(first["id"]))["state"] == "accepted"
        assert other.status == 409
        assert len(await there(two, 25)) == 1

    told(story)


def test_pu13_the_same_message_with_other_content_is_refused(told: Tell) -> None:
    async def story(two: Pair) -> None:
        stranger = Stranger(two)
        first = dump(transaction(patient(), observation(30)))
        other = dump(transaction(patient(), observation(31)))

        await stranger.post(first, numbered(30), content_digest=digest(first))
        reply = await stranger.post(other, numbered(30), content_digest=digest(other))

        assert reply.status == 422 and b"used before" in reply.body
        assert await there(two, 31) == []

    told(story)


def digest(content: bytes) -> str:
    text = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return f"sha-256=:{text}:"


def test_content_that_is_not_the_one_of_its_digest_is_asked_again(told: Tell) -> None:
    async def story(two: Pair) -> None:
        content = dump(transaction(patient(), observation(35)))

        damaged = await Stranger(two).post(content, numbered(35), content_digest=digest(b"other"))
        whole = await Stranger(two).post(content, numbered(35), content_digest=digest(content))

        assert (damaged.status, whole.status) == (503, 200)

    told(story)


def test_pu03_what_is_there_already_is_not_made_again_and_stays_as_it_was(told: Tell) -> None:
    async def story(two: Pair) -> None:
        await two.sender.pushed(transaction(patient(), observation(40, text="first")))
        done = await two.sender.pushed(
            transaction(patient(), observation(40, text="second"), observation(41))
        )

        receipt = await two.sender.receipt(done["id"])
        statuses = [e["response"]["status"] for e in receipt["entry"]]
        assert statuses == ["200 OK", "200 OK", "201 Created"]
        assert [o["code"]["text"] for o in await there(two, 40)] == ["first"]

    told(story)


def test_pu15_it_is_not_told_whether_the_receiver_knew_the_patient(told: Tell) -> None:
    async def story(two: Pair) -> None:
        stranger = Stranger(two, patient=OTHER)
        about = transaction(patient(OTHER))

        answers = [await stranger.post(dump(about), numbered(n)) for n in (45, 46)]

        entries = [parse(r.body)["entry"] for r in answers]
        assert entries == [[{"response": {"status": "200 OK"}}]] * 2
        assert len(await two.receiver.found("Patient", identifier=f"{BSN_SYSTEM}|{OTHER}")) == 1

    told(story)


def test_pu08_an_identifier_of_another_patient_is_neither_found_nor_used(told: Tell) -> None:
    async def story(two: Pair) -> None:
        await two.sender.pushed(transaction(patient(), observation(50)))
        reply = await Stranger(two, patient=OTHER).post(
            dump(transaction(patient(OTHER), observation(50))), numbered(50)
        )

        assert parse(reply.body)["entry"][1]["response"]["status"] == "201 Created"
        assert len({o["subject"]["reference"] for o in await there(two, 50)}) == 2

    told(story)


def test_pu11_of_a_batch_the_good_entries_are_taken(told: Tell) -> None:
    async def story(two: Pair) -> None:
        wrong = observation(60)
        wrong["request"]["ifNoneExist"] = "code=1"
        content = dump(transaction(patient(), wrong, observation(61), kind="batch"))

        reply = await Stranger(two).post(content, numbered(60))

        receipt = parse(reply.body)
        statuses = [e["response"]["status"][:3] for e in receipt["entry"]]
        assert (reply.status, receipt["type"]) == (200, "batch-response")
        assert statuses == ["200", "422", "201"]
        assert (len(await there(two, 60)), len(await there(two, 61))) == (0, 1)

    told(story)


def test_pu10_a_document_is_kept_whole_in_its_own_version(told: Tell) -> None:
    async def story(two: Pair) -> None:
        paper = {k: v for k, v in document().items() if k != "timestamp"}
        paper["meta"] = {"lastUpdated": "2026-03-01T09:00:00Z"}

        done = await two.sender.pushed(paper, exchange="eoverdracht", use_case="send")

        assert (done["state"], done["fhir"], done["form"]) == ("accepted", "STU3", "document")
        [kept] = await two.receiver.found("Bundle", FhirVersion.STU3)
        assert [e["resource"]["resourceType"] for e in kept["entry"]] == ["Composition", "Patient"]
        assert (await two.sender.receipt(done["id"]))["signature"]["contentType"]

    told(story)


def test_pu02_the_sender_hears_at_once_what_the_receiver_would_refuse(told: Tell) -> None:
    async def story(two: Pair) -> None:
        wrong = observation(70, subject=urn(99))

        reply = await two.sender.send("POST", "", wish(transaction(patient(), wrong)))

        assert reply.status == 422
        assert b"nothing was sent [reference]" in reply.body
        [made, *_] = await two.sender.listed("sent")
        assert (made["state"], made["entries"]) == ("prepared", 0)
        gone = await two.sender.json("POST", f"/{made['id']}/$withdraw")
        assert gone["state"] == "withdrawn"
        late = await two.sender.send("PUT", f"/{made['id']}/content", b"{}", FHIR_JSON)
        assert late.status in {400, 409}

    told(story)


FHIR_JSON = {"content-type": "application/fhir+json"}


def test_pu09_what_is_too_much_for_the_receiver_is_refused_with_a_signed_reason(
    told: Tell,
) -> None:
    async def story(two: Pair) -> None:
        many = [observation(1000 + n) for n in range(200)]

        done = await two.sender.pushed(transaction(patient(), *many))

        assert (done["state"], done["reason"]["code"]) == ("refused", "bounds"), done
        receipt = await two.sender.receipt(done["id"])
        assert receipt["resourceType"] == "OperationOutcome"
        assert any("valueSignature" in e for e in receipt["extension"])
        [event] = await two.sender.node.events(done["correlation"], "data-pushed")
        assert event["outcome"] == "8" and "bounds" in event["outcomeDesc"]
        [event] = await two.receiver.node.events(done["correlation"], "data-received")
        assert event["outcome"] == "8"
        assert await there(two, 1000) == []

    told(story)


def test_what_the_receiver_does_not_take_has_no_address(told: Tell) -> None:
    async def story(two: Pair) -> None:
        asked = wish(None, exchange="prescription", use_case="prescribe")

        reply = await two.sender.send("POST", "", asked)

        assert reply.status == 404

    told(story)


@pytest.mark.parametrize(
    ("ask", "code"),
    [
        ({"scope": "MP-VOS"}, "exchange"),
        ({"patient": OTHER}, "patient"),
    ],
    ids=["another exchange", "another patient than the token"],
)
def test_pu07_a_stranger_is_refused_with_a_code(told: Tell, ask: dict[str, str], code: str) -> None:
    async def story(two: Pair) -> None:
        content = dump(transaction(patient(), observation(80)))

        reply = await Stranger(two, **ask).post(content, numbered(80 + len(code)))

        assert (reply.status, reasons(reply)) == (403, [code])
        assert await there(two, 80) == []

    told(story)


@pytest.mark.parametrize("ask", [{"scope": "bgz_sender"}, {"purpose": "HMARKT"}, {"patient": ""}])
def test_without_scope_purpose_or_patient_nothing_of_it_is_read(
    told: Tell, ask: dict[str, str]
) -> None:
    async def story(two: Pair) -> None:
        try:
            reply = await Stranger(two, **ask).post(b"not even JSON", numbered(85))
        except LdnError as error:  # no token is given for it at all
            assert error.status in {400, 401, 403, 502}
            return
        assert reply.status == 403 and b"refused: " in reply.body

    told(story)


NESTED = b'{"resourceType":"Bundle","type":"transaction","entry":[' + b'{"a":[' * 5000


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"", 400, "structure"),
        (b"[]", 400, "structure"),
        (b'{"resourceType":"Patient"}', 400, "structure"),
        (NESTED, 400, "structure"),
        (dump(transaction(*(observation(n) for n in range(10_000)))), 413, "bounds"),
        (dump(transaction(patient(), patient())), 400, "address"),
        (dump(transaction(patient(), observation(91, text="x" * 1_048_577))), 413, "bounds"),
        (
            dump(
                transaction(
                    patient(),
                    observation(92, performer=[{"reference": "https://10.0.0.1/Practitioner/1"}]),
                )
            ),
            422,
            "reference",
        ),
        (dump(transaction(patient(name=[{"famly": "x"}]))), 400, "structure"),
    ],
    ids=[
        *("nothing", "a list", "no Bundle", "depth", "ten thousand entries", "one address twice"),
        *("too large", "another base", "unknown element"),
    ],
)
def test_pu14_hostile_content_is_refused_and_leaves_nothing(
    told: Tell, content: bytes, status: int, code: str
) -> None:
    async def story(two: Pair) -> None:
        name = numbered(int.from_bytes(hashlib.sha256(content).digest()[:4]))

        reply = await Stranger(two).post(content, name)

        assert (reply.status, reasons(reply)[0]) == (status, code), reply.body[:500]
        assert await left(two) == 0

    told(story)


async def left(two: Pair) -> int:
    """Parts of content that the receiver still has."""
    async with two.receiver.node.parts.records.pool.acquire() as db:
        count: int = await db.fetchval("SELECT count(*) FROM push_part")
    return count


def test_a_message_without_a_name_is_not_taken(told: Tell) -> None:
    async def story(two: Pair) -> None:
        reply: Reply = await Stranger(two).post(dump(transaction(patient())), "")

        assert reply.status == 400 and b"Idempotency-Key" in reply.body

    told(story)


def test_pu13_carried_twice_at_once_it_arrives_once_and_content_is_forgotten(told: Tell) -> None:
    async def story(two: Pair) -> None:
        made = await two.sender.push(transaction(patient(), observation(95)))
        carrying = two.sender.node.parts.pushing.carrying

        await asyncio.gather(
            *(carrying.carry(made["id"]) for _ in range(4)), return_exceptions=True
        )
        done = await two.sender.until(made["id"])

        assert done["state"] == "accepted"
        assert len(await there(two, 95)) == 1
        assert await left(two) == 0
        async with two.sender.node.parts.records.pool.acquire() as db:
            assert await db.fetchval("SELECT count(*) FROM push_part") == 0
        found = await two.receiver.listed("received")
        assert [c["message"] for c in found].count(done["message"]) == 1

    told(story)


def test_other_organizations_do_not_see_what_is_pushed(told: Tell) -> None:
    async def story(two: Pair) -> None:
        reply = await two.sender.http.send(
            "GET", f"{two.receiver.node.url}/api/push?side=received", deadline=20
        )

        assert reply.status == 403
        assert (await two.receiver.send("GET", "/unknown")).status == 404
        assert (await two.receiver.send("GET", "?side=both")).status == 400

    told(story)


def test_the_network_map_knows_who_takes_pushes_and_tries_the_way(told: Tell) -> None:
    async def asked(app: App, path: str) -> dict[str, Any]:
        reply = await app.http.send("GET", f"{app.node.url}/api/{path}", deadline=30)
        assert reply.status == 200, reply.body
        found: dict[str, Any] = parse(reply.body)
        return found

    async def story(two: Pair) -> None:
        way = f"reach?to={CLINIC}&exchange=referral&pattern=push"
        open_ = await asked(two.sender, way)
        closed = await asked(two.receiver, way.replace(str(CLINIC), str(HOSPITAL)))

        came = {s["step"]: s["came"] for s in open_["steps"]}
        assert open_["verdict"] == "yes", came
        assert open_["steps"][-1]["key"] == "policy.open"
        assert (closed["verdict"], closed["failing"]) == ("no", "endpoint")

        listed = (await asked(two.sender, "network"))["organizations"]
        pushes = {
            one["ura"]: [o["exchange"] for o in one["offers"] if "push" in o["patterns"]]
            for one in listed
        }
        assert pushes[str(CLINIC)] == ["eoverdracht", "referral"]
        assert pushes[str(HOSPITAL)] == []

    told(story)


def test_the_address_says_what_it_takes(told: Tell) -> None:
    async def story(two: Pair) -> None:
        for version, form in ((FhirVersion.R4, "transaction"), (FhirVersion.STU3, "")):
            url = f"{two.receiver.node.url}/push/{version}/metadata"
            reply = await two.sender.http.send("GET", url, deadline=20)

            said = decode(reply.body, Format.JSON, version)
            [rest] = said["rest"]
            assert said["fhirVersion"] == version.number
            assert [i["code"] for i in rest.get("interaction", ())][:1] == [form][: len(form)]
            assert {"Patient", "Condition"} <= {r["type"] for r in rest["resource"]}

    told(story)
