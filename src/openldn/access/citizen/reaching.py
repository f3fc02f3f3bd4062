"""What the pages of citizens reach: the consent registry, the directory and the nodes' logs."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from openldn.access.citizen.choosing import Known
from openldn.access.citizen.desk import Citizen, Line, Message, Overview, Ports, Profile
from openldn.access.frame.network import Node, Nodes, object_of
from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId, instant
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Bsn, Ura
from openldn.functions.audit.overview import (
    AccessLine,
    AccessOverview,
    Collector,
    Keeper,
    Period,
    Told,
)
from openldn.functions.authentication.client import ServiceTokens, Target
from openldn.functions.consent.client_choices import Choices
from openldn.functions.consent.model import Choice
from openldn.functions.consent.persons import Chooser
from openldn.functions.consent.service import Chosen

_JSON = {"content-type": "application/json"}
_CONSENT = "consent"  # the registry in the network file
_DEADLINE = 5.0  # seconds for one call


def reaching(clock: Clock, new_id: NewId) -> Callable[[Nodes], Ports]:
    """The ports of a desk over the nodes and functions of its network file."""

    def ports(nodes: Nodes) -> Ports:
        return Registered(nodes, clock, new_id), Providers(nodes), Looking(nodes, clock)

    return ports


@dataclass
class Registered:
    """The consent registry of the network file, by this door."""

    nodes: Nodes
    clock: Clock
    new_id: NewId
    _doors: dict[tuple[str, str], Choices] = field(default_factory=dict, repr=False)

    async def read(self, citizen: Citizen) -> Profile:
        """What this person chose; raises LdnError when the registry cannot be asked."""
        return _profile(await self._door().read(citizen.bsn))

    async def save(self, citizen: Citizen, choices: Sequence[Choice], version: str) -> Profile:
        """These choices from now on, by the person: whoever signs in here is nobody's parent.

        Raises LdnError: conflict with status 412 when another version stands, forbidden for a
        child under twelve, for whom a parent chooses.
        """
        patient, born = citizen.bsn, citizen.born
        kept = await self._door().record(patient, born, Chooser.SELF, choices, int(version))
        return _profile(kept)

    async def confirm(self, child: Bsn, code: str) -> None:
        """A parent confirms; raises LdnError(forbidden) when nothing waits with this code."""
        await self._door().confirm(child, code)

    def _door(self) -> Choices:
        found = [f for f in self.nodes.network().functions if f.key == _CONSENT]
        if not found:
            text = "there is no consent registry in this network; its operator must start one"
            raise LdnError(Issue.TRANSIENT, text)
        registry = found[0]
        key = (registry.api, registry.certificate)
        if key not in self._doors:
            self._doors[key] = self._opened(registry)
        return self._doors[key]

    def _opened(self, registry: Node) -> Choices:
        http, origin = self.nodes.client(registry), registry.api
        target = Target(origin, origin, registry.ura)
        tokens = ServiceTokens(target, http, self.clock, self.new_id)

        async def headers() -> Mapping[str, str]:
            return {"authorization": f"Bearer {await tokens.bearer('consent:choose')}"}

        return Choices(http, origin, headers, _DEADLINE)


def _profile(chosen: Chosen) -> Profile:
    return Profile(tuple(chosen.choices), str(chosen.version), chosen.code)


@dataclass(frozen=True)
class Providers:
    """Who takes part, as the first node that answers knows the directory."""

    nodes: Nodes

    async def __call__(self) -> Sequence[Known]:
        """Every active care provider, by name; raises LdnError when no node answers."""
        problem = LdnError(Issue.TRANSIENT, "there is no node that tells who takes part")
        for node in self.nodes.network().nodes:
            try:
                told = await _get(self.nodes, node, "holders")
            except LdnError as error:
                problem = error
                continue
            listed = told.get("holders")
            return [_known(h) for h in listed if h.get("active")] if listed else []
        raise problem


def _known(holder: Mapping[str, Any]) -> Known:
    ura = Ura.parse(str(holder.get("ura", "")))
    return Known(ura, str(holder.get("name", "")), str(holder.get("type", "")))


async def _get(nodes: Nodes, node: Node, path: str) -> dict[str, Any]:
    url = f"{node.api}/{path}"
    return object_of(await nodes.client(node).send("GET", url, deadline=_DEADLINE))


@dataclass(frozen=True)
class Looking:
    """The logs of every node, as one list; each is asked with its own certificate."""

    nodes: Nodes
    clock: Clock

    async def __call__(self, patient: Bsn, since: datetime) -> Overview:
        """All that is known, newest first; a node that does not tell is named."""
        by_url = {node.api: node for node in self.nodes.network().nodes}
        keepers = [Keeper(Ura.parse(n.ura), n.name, n.api) for n in by_url.values()]

        async def ask(keeper: Keeper, patient: Bsn, period: Period, page: int) -> Told:
            return await self._page(by_url[keeper.url], patient, period, page)

        period = Period(since, self.clock() + timedelta(minutes=1))
        async with asyncio.TaskGroup() as group:
            told = [group.create_task(self._messages(n, patient)) for n in by_url.values()]
            found = await Collector(ask).overview(patient, period, keepers)
        seen = _overview(found, {str(k.holder): k.name for k in keepers})
        return _with(seen, [task.result() for task in told])

    async def _messages(self, node: Node, patient: Bsn) -> tuple[Node, Sequence[Message] | None]:
        """What this node tells of emergencies; None when it does not."""
        url, body = f"{node.api}/emergencies/messages", dump({"bsn": patient.value})
        try:
            reply = await self.nodes.client(node).send(
                "POST", url, headers=_JSON, body=body, deadline=_DEADLINE
            )
            listed = object_of(reply).get("messages")
        except LdnError:
            return node, None
        if not isinstance(listed, list) or not all(isinstance(m, dict) for m in listed):
            return node, None
        return node, [_message(told, node.name) for told in listed]

    async def _page(self, node: Node, patient: Bsn, period: Period, page: int) -> Told:
        body = {
            "bsn": patient.value,
            "since": instant(period.since),
            "until": instant(period.until),
            "page": page,
        }
        url = f"{node.api}/access-log"
        reply = await self.nodes.client(node).send(
            "POST", url, headers=_JSON, body=dump(body), deadline=_DEADLINE
        )
        if reply.status != 200:
            object_of(reply)  # tells why, in the node's words
        try:
            return msgspec.json.decode(reply.body, type=Told)
        except msgspec.DecodeError as error:
            text = "the node answered something unintelligible; its operator's turn"
            raise LdnError(Issue.INCOMPLETE, text) from error


def _overview(found: AccessOverview, names: Mapping[str, str]) -> Overview:
    lines = tuple(_line(line, names) for line in found.lines)
    return Overview(lines, tuple(gap.keeper.name for gap in found.gaps))


def _with(seen: Overview, told: Sequence[tuple[Node, Sequence[Message] | None]]) -> Overview:
    """The overview with the messages; who did not tell of them is named as silent."""
    every = [message for _, messages in told for message in messages or ()]
    newest = sorted(every, key=lambda m: m.at, reverse=True)
    silent = [*seen.silent, *(node.name for node, messages in told if messages is None)]
    return Overview(seen.lines, tuple(dict.fromkeys(silent)), tuple(newest))


def _message(told: Mapping[str, Any], holder: str) -> Message:
    words = {name: str(told.get(name, "")) for name in ("at", "role", "code", "reason", "outcome")}
    who = str(told.get("name") or told.get("organization", ""))
    return Message(organization=who, holder=holder, opened=told.get("opened") is True, **words)


def _line(line: AccessLine, names: Mapping[str, str]) -> Line:
    sight = line.sight
    return Line(
        at=instant(line.first),
        count=line.count,
        organization=sight.name or names.get(sight.organization, sight.organization),
        role=sight.role,
        holder=names.get(sight.holder, sight.holder),
        exchange=sight.exchange,
        basis=sight.legal_basis,
        emergency=sight.emergency,
        refused=sight.refused,
        person=sight.person,
    )
