"""Simulated parties among each other, over real HTTPS: what they give, refuse, and do wrong.

Source: infrastructures §1 to §4 and the rules of simulators; exchange patterns §2.1, §2.2, §4.1.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from trust.network import free_port
from trust.parties import HOSPITAL, PHARMACY, PRACTICE, World

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, client_context, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.identifiers import Ura
from openldn.functions.addressing.model import Endpoint, Organization
from openldn.testbench.simulators.party import states, tasks
from openldn.testbench.simulators.party.api import app
from openldn.testbench.simulators.party.believing import Faith
from openldn.testbench.simulators.party.model import Sent
from openldn.testbench.simulators.party.opened import MANNERS, assembled, context_of, entry
from openldn.testbench.simulators.party.outside import Call, Peer
from openldn.testbench.simulators.party.party import Party
from openldn.testbench.simulators.party.settings import PartySettings

WHO = {"lsp": HOSPITAL, "zorgplatform": PRACTICE, "nuts": PHARMACY}
HOMES = {"nuts": PHARMACY, "home": PRACTICE}  # two of Nuts
KINDS = {"home": "nuts"}
PATIENT = "jansen"


class Book:
    """A directory that knows the parties of one test."""

    def __init__(self, settings: Sequence[PartySettings]) -> None:
        self.endpoints = [e for s in settings for e in entry(s)[1]]

    async def endpoint(self, holder: Ura, payload: str) -> Endpoint:
        for one in self.endpoints:
            if one.holder == holder and payload in one.payloads:
                return one
        raise LdnError(Issue.NOT_FOUND, "no such address")

    async def known(self, ura: Ura) -> bool:
        return any(e.holder == ura for e in self.endpoints)

    async def publish(self, organization: Organization, endpoints: Sequence[Endpoint]) -> None:
        return None


@dataclass
class Running:
    """The parties that run, by name."""

    world: World
    parties: dict[str, Party]

    async def heard(self, kind: str, task: str) -> str:
        """The id under which this party knows an offer, once its Task was read."""
        [found] = [h for h in self.parties[kind].heard.values() if h.task == task]
        return found.id

    async def send(self, sender: str, receiver: str, path: str, **more: Any) -> tuple[int, Any]:
        """A bare request with the certificate of the sender."""
        party = self.parties[receiver]
        client = HttpClient(client_context(self.world.identity(self.parties[sender].ura)))
        method, body = more.pop("method", "GET"), more.pop("body", None)
        sent = json.dumps(body).encode() if body is not None else None
        headers = {"content-type": "application/json", **more}
        url = f"{party.settings.public}{path}"
        try:
            reply = await client.send(method, url, headers=headers, body=sent, deadline=10)
        finally:
            await client.close()
        return reply.status, json.loads(reply.body) if reply.body else None


Case = Callable[[Running], Awaitable[Any]]


def settings_of(world: World, name: str, ura: Ura, **more: Any) -> PartySettings:
    port = free_port()
    folder = world.folder / str(ura)
    return PartySettings(
        kind=KINDS.get(name, name),  # type: ignore[arg-type]  # one of the three
        key=name,
        name=f"TEST {name}",
        ura=ura.value,
        care="hospital",
        provider_type="V4",
        receives_from="rehabilitation",
        certificate=folder / "server.pem",
        key_file=folder / "server.key",
        ca=world.folder / "ca.pem",
        issuers=world.folder / "issuing.pem",
        signing_certificate=folder / "signing.pem",
        signing_key=folder / "signing.key",
        public=f"https://127.0.0.1:{port}",
        addressing="https://127.0.0.1:1/fhir",
        addressing_ura=HOSPITAL.value,
        port=port,
        **more,
    )


@asynccontextmanager
async def running(world: World, who: dict[str, Ura], **more: Any) -> AsyncIterator[Running]:
    plain = [settings_of(world, name, ura, **more) for name, ura in who.items()]
    hosts = tuple(s.public.partition("//")[2].replace("127.0.0.1", "localhost") for s in plain)
    every = [msgspec.structs.replace(s, fetch_hosts=hosts) for s in plain]
    book, parties, faiths = Book(every), {}, []
    async with AsyncExitStack() as stack:
        for told in every:
            faith = Faith.of(told, MANNERS[told.kind], world.clock, new_uuid)
            party = parties[told.key] = assembled(faith, book)
            serves = serving(app(party, faith), told.host, told.port, context_of(told))
            await stack.enter_async_context(serves)
            faiths.append(faith)
        for faith in faiths:
            stack.push_async_callback(faith.close)  # before the servers wait for their clients
        yield Running(world, parties)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("parties"))


def run(world: World, case: Case, who: dict[str, Ura] = WHO, **more: Any) -> Any:
    async def with_parties() -> Any:
        async with running(world, who, **more) as at:
            return await case(at)

    return asyncio.run(with_parties())


def test_the_bgz_goes_by_twiin_and_its_sender_never_hears_what_was_decided(world: World) -> None:
    async def case(at: Running) -> None:
        lsp, platform = at.parties["lsp"], at.parties["zorgplatform"]
        sent = await lsp.offer(PRACTICE, "bgz", PATIENT)
        id_ = await at.heard("zorgplatform", sent.id)

        await platform.decide(id_, "accept", "", "")
        told = await platform.decide(id_, "fetch", "", "")

        assert (told["status"], told["gaps"], told["dialect"]) == ("accepted", 0, "T")
        assert told["resources"] > 20
        assert (sent.status, sent.reads > 20) == ("requested", True)

    run(world, case)


def test_what_was_taken_back_cannot_be_fetched_any_more(world: World) -> None:
    async def case(at: Running) -> None:
        lsp, platform = at.parties["lsp"], at.parties["zorgplatform"]
        sent = await platform.offer(HOSPITAL, "bgz", PATIENT)
        id_ = await at.heard("lsp", sent.id)

        await platform.decide(sent.id, "cancel", "niet meer nodig", "")
        told = await lsp.decide(id_, "fetch", "", "")

        assert (lsp.heard[id_].status, told["resources"]) == ("cancelled", 0)
        assert told["gaps"] > 20

    run(world, case)


def test_one_search_that_cannot_be_read_hides_no_other(world: World) -> None:
    async def case(at: Running) -> None:
        lsp, platform = at.parties["lsp"], at.parties["zorgplatform"]
        await at.send("lsp", "lsp", "/control/fault", method="POST", body=BROKEN)
        sent = await lsp.offer(PRACTICE, "bgz", PATIENT)

        told = await platform.decide(await at.heard("zorgplatform", sent.id), "fetch", "", "")

        assert tasks.BROKEN in str(tasks.task(sent, HOSPITAL))
        assert told["resources"] > 20

    BROKEN = {"kind": "broken-escape", "at": "offer"}
    run(world, case)


def test_a_notification_that_comes_twice_is_one_offer(world: World) -> None:
    async def case(at: Running) -> None:
        lsp, platform = at.parties["lsp"], at.parties["zorgplatform"]
        await at.send("lsp", "lsp", "/control/fault", method="POST", body=TWICE)

        await lsp.offer(PRACTICE, "bgz", PATIENT)

        assert [h.times for h in platform.heard.values()] == [2]
        assert [e.detail for e in lsp.events if e.name == "notified"] == [
            "T: status 201",
            "T: status 200",
        ]

    TWICE = {"kind": "twice", "at": "offer"}
    run(world, case)


def test_a_notification_for_another_is_refused(world: World) -> None:
    async def case(at: Running) -> None:
        lsp = at.parties["lsp"]
        await at.send("lsp", "lsp", "/control/fault", method="POST", body=NOBODY)

        with pytest.raises(LdnError, match="status 422"):
            await lsp.offer(PRACTICE, "bgz", PATIENT)

        assert not at.parties["zorgplatform"].heard

    NOBODY = {"kind": "no-owner", "at": "offer"}
    run(world, case)


def test_parties_without_a_common_dialect_cannot_reach_each_other(world: World) -> None:
    async def case(at: Running) -> None:
        found = await at.parties["lsp"].ask(PHARMACY, "bgz", PATIENT)

        assert (found.total, found.failed) == (0, 29)
        assert "no dialect in common" in found.reasons[0]

    run(world, case)


def test_on_the_lsp_a_message_without_its_place_in_the_chain_is_refused(world: World) -> None:
    async def case(at: Running) -> None:
        status, told = await at.send("zorgplatform", "lsp", "/fhir/Patient")

        assert (status, "AORTA-ID" in told["issue"][0]["diagnostics"]) == (400, True)

    run(world, case)


def test_a_closed_network_lets_in_only_who_is_listed(world: World) -> None:
    async def case(at: Running) -> None:
        inside, _ = await at.send("lsp", "lsp", "/fhir/Patient")
        outside, _ = await at.send("zorgplatform", "lsp", "/fhir/Patient")

        assert (inside, outside) == (400, 403)

    run(world, case, closed_to=(HOSPITAL.value,))


def test_without_a_token_nothing_is_told(world: World) -> None:
    async def case(at: Running) -> None:
        for path, method in (("/fhir/Task/1", "GET"), ("/notification/Task", "POST")):
            status, _ = await at.send("lsp", "zorgplatform", path, method=method, body={})
            assert status == 401

    run(world, case)


def test_r11_an_authorization_base_of_another_opens_nothing(world: World) -> None:
    async def case(at: Running) -> None:
        lsp, platform = at.parties["lsp"], at.parties["zorgplatform"]
        sent = await lsp.offer(PRACTICE, "bgz", PATIENT)
        right = Peer(HOSPITAL, sent.wire.serves, Call("bgz-sender", sent.base))
        wrong = Peer(HOSPITAL, sent.wire.serves, Call("bgz-sender", "another"))

        found = await platform.outside.read(right, "Condition")

        assert found["total"] == 2
        with pytest.raises(LdnError, match="404"):
            await platform.outside.read(wrong, f"Task/{sent.id}")
        with pytest.raises(LdnError, match="403"):
            await platform.outside.read(wrong, "Condition")

    run(world, case)


def test_only_the_party_itself_is_driven(world: World) -> None:
    async def case(at: Running) -> None:
        status, _ = await at.send("lsp", "nuts", "/control/offers")

        assert status == 403

    run(world, case)


async def transfer(at: Running) -> tuple[Sent, str]:
    """An offer of the eOverdracht between two nursing homes, and its id at the receiver."""
    sent = await at.parties["nuts"].offer(PRACTICE, "eoverdracht", PATIENT)
    return sent, await at.heard("home", sent.id)


def test_a_handoff_goes_by_a_notification_without_body_and_each_answer_comes_back(
    world: World,
) -> None:
    async def case(at: Running) -> None:
        nuts, home = at.parties["nuts"], at.parties["home"]
        sent, id_ = await transfer(at)

        before = await home.decide(id_, "fetch", "", "")
        await home.decide(id_, "accept", "", "")
        await nuts.decide(sent.id, "start", "", "")
        after = await home.decide(id_, "fetch", "", "")
        await home.decide(id_, "complete", "", "")

        assert nuts.events[0].detail == "N: status 204"
        assert after["resources"] > before["resources"] > 5
        assert (sent.status, home.heard[id_].status) == ("completed", "completed")
        assert home.heard[id_].times == 2

    run(world, case, HOMES)


def test_r22_the_handoff_cannot_be_read_before_the_transfer_goes_on(world: World) -> None:
    async def case(at: Running) -> None:
        nuts, home = at.parties["nuts"], at.parties["home"]
        sent, id_ = await transfer(at)
        peer = Peer(PHARMACY, sent.wire.serves, Call(sent.wire.fetch))
        notice, handoff = (
            f"Composition/{PATIENT}-{x}/$document" for x in ("advance-notice", "handoff")
        )

        assert (await home.outside.read(peer, notice))["type"] == "document"
        with pytest.raises(LdnError, match="403"):
            await home.outside.read(peer, handoff)

        await home.decide(id_, "accept", "", "")
        await nuts.decide(sent.id, "start", "", "")
        assert (await home.outside.read(peer, handoff))["type"] == "document"

    run(world, case, HOMES)


def test_another_date_is_proposed_and_agreed(world: World) -> None:
    async def case(at: Running) -> None:
        nuts, home = at.parties["nuts"], at.parties["home"]
        sent, id_ = await transfer(at)

        await home.decide(id_, "propose", "", "2031-03-03T09:00:00+01:00")
        assert (sent.status, sent.proposed) == ("on-hold", "2031-03-03T09:00:00+01:00")
        await nuts.decide(sent.id, "agree", "", "")
        await home.decide(id_, "accept", "", "")

        assert sent.status == "accepted"

    run(world, case, HOMES)


def test_a_refusal_reaches_the_sender_with_its_reason(world: World) -> None:
    async def case(at: Running) -> None:
        sent, id_ = await transfer(at)

        await at.parties["home"].decide(id_, "reject", "geen plaats", "")

        assert (sent.status, sent.reason) == ("rejected", "geen plaats")
        with pytest.raises(LdnError) as caught:
            await at.parties["nuts"].decide(sent.id, "start", "", "")
        assert caught.value.issue is Issue.CONFLICT

    run(world, case, HOMES)


def test_an_answer_that_is_not_the_whole_task_is_refused(world: World) -> None:
    async def case(at: Running) -> None:
        sent, _ = await transfer(at)
        peer = Peer(PHARMACY, sent.wire.serves, Call(sent.wire.fetch))
        whole = tasks.task(sent, PHARMACY)
        bare = {k: v for k, v in whole.items() if k != "for"} | {"status": "accepted"}

        with pytest.raises(LdnError, match="422"):
            await at.parties["home"].outside.put(peer, bare)
        with pytest.raises(LdnError, match="409"):
            await at.parties["home"].outside.put(peer, {**whole, "status": "completed"})
        again = await at.parties["home"].outside.put(peer, whole)

        assert (again["status"], sent.version) == ("requested", 1)

    run(world, case, HOMES)


def test_r16_a_task_of_others_is_as_unknown_as_one_that_is_not_there(world: World) -> None:
    async def case(at: Running) -> None:
        sent, _ = await transfer(at)
        own = Peer(PHARMACY, sent.wire.serves, Call(sent.wire.fetch))

        for task in (sent.id, new_uuid()):
            with pytest.raises(LdnError, match="404"):
                await at.parties["nuts"].outside.read(own, f"Task/{task}")

    run(world, case, HOMES)


def test_a_receiver_that_fails_is_told_to_the_sender(world: World) -> None:
    async def case(at: Running) -> None:
        body = {"kind": "error-503", "at": "notification"}
        await at.send("home", "home", "/control/fault", method="POST", body=body)

        with pytest.raises(LdnError, match="status 503"):
            await transfer(at)
        sent, _ = await transfer(at)

        assert sent.status == "requested"

    run(world, case, HOMES)


@pytest.mark.parametrize("before", ["requested", "received", "on-hold", "accepted", "in-progress"])
@pytest.mark.parametrize("table", [states.RECEIVER, states.SENDER], ids=["receiver", "sender"])
def test_a_task_goes_only_through_the_states_of_the_table(
    before: str, table: dict[str, frozenset[str]]
) -> None:
    for after in ("received", "accepted", "on-hold", "rejected", "completed", "in-progress", "x"):
        if before in table.get(after, ()):
            assert states.moved(table, before, after) == after
        else:
            with pytest.raises(LdnError) as caught:
                states.moved(table, before, after)
            assert caught.value.issue is Issue.CONFLICT
