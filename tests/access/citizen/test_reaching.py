"""What the pages of citizens ask the registry for, over their own network file."""

import asyncio
import json
from collections.abc import Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, cast

import pytest

from openldn.access.citizen.desk import Citizen
from openldn.access.citizen.reaching import Looking, Providers, Registered
from openldn.access.frame.network import Nodes
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.fhir.identifiers import Bsn
from openldn.functions.consent.model import Choice, Decision

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
CHILD = Citizen(Bsn.parse("999990019"), date(2018, 5, 1))


class Answering:
    """In the place of a connection: it answers as told, and keeps what was asked."""

    def __init__(self, answers: Mapping[str, tuple[int, object]]) -> None:
        self.answers, self.sent = answers, list[tuple[str, str, Any]]()

    async def send(self, method: str, url: str, **more: Any) -> Reply:
        body = more.get("body")
        self.sent.append((method, url, body))
        status, told = next(v for k, v in self.answers.items() if url.endswith(k))
        return Reply(status, {}, json.dumps(told).encode())

    async def close(self) -> None: ...


def nodes(folder: Path, answering: Answering) -> Nodes:
    party = {"ura": "90000094", "certificate": "x.pem", "key_file": "x.key"}
    registry = {**party, "key": "consent", "name": "Consent", "api": "https://registry.example"}
    node = {**party, "key": "gp", "name": "Practice", "api": "https://gp.example/api"}
    network = {"nodes": [node], "functions": [registry], "trust": {"ca": "ca.pem"}}
    (folder / "network.json").write_text(json.dumps(network))
    connection = cast(HttpClient, answering)
    return Nodes(folder / "network.json", 5.0, lambda network, node: connection)


TOKEN = {"access_token": "abc", "token_type": "Bearer", "expires_in": 600}


def test_whoever_signs_in_chooses_for_themselves_and_never_as_a_parent(tmp_path: Path) -> None:
    kept = {"version": 1, "choices": [], "waits": True, "code": "K7M4"}
    answering = Answering({"/token": (200, TOKEN), "/choices": (202, kept)})
    registered = Registered(nodes(tmp_path, answering), lambda: NOW, lambda: "id-00000001")

    profile = asyncio.run(registered.save(CHILD, [Choice("c", Decision.DENY)], "0"))

    [body] = [b for m, u, b in answering.sent if m == "PUT"]
    assert json.loads(body)["by"] == "self"
    assert profile.code == "K7M4"
    assert all(CHILD.bsn.value not in url for _, url, _ in answering.sent)


def test_a_network_without_a_registry_says_so(tmp_path: Path) -> None:
    found = nodes(tmp_path, Answering({}))
    text = (tmp_path / "network.json").read_text().replace('"key": "consent"', '"key": "other"')
    (tmp_path / "network.json").write_text(text)
    registered = Registered(found, lambda: NOW, lambda: "id-00000001")

    with pytest.raises(LdnError, match="no consent registry") as refused:
        asyncio.run(registered.read(CHILD))
    assert refused.value.issue is Issue.TRANSIENT


def test_only_active_care_providers_can_be_chosen(tmp_path: Path) -> None:
    listed = [
        {"ura": "90000001", "name": "Hospital", "type": "V4", "active": True},
        {"ura": "90000002", "name": "Left", "type": "Z4", "active": False},
    ]
    providers = Providers(nodes(tmp_path, Answering({"/holders": (200, {"holders": listed})})))

    found = asyncio.run(providers())

    assert [(str(k.ura), k.kind) for k in found] == [("90000001", "V4")]


def test_without_a_node_that_answers_nobody_is_listed(tmp_path: Path) -> None:
    providers = Providers(nodes(tmp_path, Answering({"/holders": (503, {})})))

    with pytest.raises(LdnError):
        asyncio.run(providers())


def test_g18_emergencies_come_from_every_node_and_who_does_not_tell_is_silent(
    tmp_path: Path,
) -> None:
    told = {"at": "2026-03-01T09:00:00Z", "organization": "90000002", "name": "Clinic"}
    told |= {"role": "01.015", "code": "other", "reason": "why", "outcome": ""}
    log: dict[str, Any] = {"holder": "90000094", "sights": []}
    known = {"/access-log": (200, log), "/messages": (200, {"messages": [told | {"opened": True}]})}
    looking = Looking(nodes(tmp_path, answering := Answering(known)), lambda: NOW)

    seen = asyncio.run(looking(CHILD.bsn, NOW))

    [message] = seen.messages
    assert (message.organization, message.holder, message.opened) == ("Clinic", "Practice", True)
    assert all(CHILD.bsn.value not in url for _, url, _ in answering.sent)
    answering.answers = known | {"/messages": (503, {})}
    assert asyncio.run(looking(CHILD.bsn, NOW)).silent == ("Practice",)
