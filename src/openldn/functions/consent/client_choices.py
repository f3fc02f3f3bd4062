"""Choices as a door of citizens makes them over the wire: read, tried out, recorded, confirmed."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import Bsn
from openldn.functions.consent import wire
from openldn.functions.consent.client import require
from openldn.functions.consent.deciding import Among, Effect
from openldn.functions.consent.model import Choice, Decision
from openldn.functions.consent.persons import Chooser
from openldn.functions.consent.service import Chosen

_JSON = {"content-type": "application/json", "accept": "application/json"}
_NUMBER = re.compile(r"\d{8,}")  # may be a person's
_LONGEST = 300  # signs of what the registry says that are passed on


class _ChosenWire(msgspec.Struct, frozen=True):
    version: int
    choices: list[wire.ChoiceWire]
    chooser: str = ""
    waits: bool = False
    recorded: datetime | None = None
    lapses: date | None = None
    code: str = ""


class _HistoryWire(msgspec.Struct, frozen=True):
    versions: list[_ChosenWire]


class _EffectWire(msgspec.Struct, frozen=True):
    holder: wire.ProviderWire
    requester: wire.ProviderWire
    category: str
    decision: Decision


class _EffectsWire(msgspec.Struct, frozen=True):
    effects: list[_EffectWire]


@dataclass
class Choices:
    """The registry as a door of citizens sees it; the door vouches for who signed in."""

    http: HttpClient
    url: str  # origin of the registry, without trailing slash
    headers: Callable[[], Awaitable[Mapping[str, str]]]  # a token with the scope consent:choose
    deadline: float = 5.0  # seconds

    async def read(self, patient: Bsn) -> Chosen:
        """What the patient chose; raises LdnError as the registry refuses, or incomplete."""
        reply = await self._call("POST", "choices/read", {"patient": patient.value})
        return _chosen(wire.read(_object(reply), _ChosenWire))

    async def history(self, patient: Bsn) -> list[Chosen]:
        """Every version, newest first."""
        reply = await self._call("POST", "choices/history", {"patient": patient.value})
        return [_chosen(each) for each in wire.read(_object(reply), _HistoryWire).versions]

    async def preview(self, choices: Sequence[Choice], among: Among) -> list[Effect]:
        """Which holder could be asked by whom, with choices that are not saved."""
        body = {
            "choices": _choices(choices),
            "holders": [wire.provider(p) for p in among.holders],
            "requesters": [wire.provider(p) for p in among.requesters],
            "category": among.category,
        }
        found = wire.read(_object(await self._call("POST", "choices/preview", body)), _EffectsWire)
        return [
            Effect(e.holder.read(), e.requester.read(), e.category, e.decision)
            for e in found.effects
        ]

    async def record(
        self, patient: Bsn, born: date, by: Chooser, choices: Sequence[Choice], version: int
    ) -> Chosen:
        """Put these in the place of `version`; for a child it waits, with a link code.

        Raises LdnError: conflict with status 412 when another version stands, forbidden when
        this person may not choose.
        """
        body = {
            "patient": patient.value,
            "born": born.isoformat(),
            "by": by.value,
            "choices": _choices(choices),
        }
        match = {"if-match": f'W/"{version}"'}
        reply = await self._call("PUT", "choices", body, match)
        return _chosen(wire.read(_object(reply), _ChosenWire))

    async def confirm(self, patient: Bsn, code: str) -> Chosen:
        """Let what a child chose count; raises LdnError(forbidden) for a code that is not it."""
        body = {"patient": patient.value, "code": code}
        reply = await self._call("POST", "choices/confirm", body)
        return _chosen(wire.read(_object(reply), _ChosenWire))

    async def _call(
        self, method: str, name: str, body: object, more: Mapping[str, str] | None = None
    ) -> Reply:
        headers = {**_JSON, **await self.headers(), **(more or {})}
        address = f"{self.url}/{name}"
        reply = await self.http.send(
            method, address, headers=headers, body=dump(body), deadline=self.deadline
        )
        try:
            return require(reply, 200, 202)
        except LdnError as error:
            text = _said(reply) or error.message
            raise LdnError(error.issue, text, error.detail, status=reply.status) from error


def _said(reply: Reply) -> str:
    """What our registry says went wrong, unless a number stands in it."""
    try:
        text = str(_object(reply)["issue"][0]["diagnostics"])[:_LONGEST]
    except (LdnError, LookupError, TypeError):
        return ""
    return "" if _NUMBER.search(text) else text


def _object(reply: Reply) -> Mapping[str, Any]:
    value = parse(reply.body)
    if not isinstance(value, dict):
        raise LdnError(Issue.INCOMPLETE, "the consent registry answered nonsense; its turn")
    return value


def _choices(choices: Sequence[Choice]) -> list[dict[str, Any]]:
    return [{k: v for k, v in wire.choice(c).items() if k != "id"} for c in choices]


def _chosen(found: _ChosenWire) -> Chosen:
    return Chosen(
        version=found.version,
        choices=[c.read() for c in found.choices],
        recorded=found.recorded,
        chooser=found.chooser,
        lapses=found.lapses,
        waits=found.waits,
        code=found.code,
    )
