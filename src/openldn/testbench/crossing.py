"""Random attempts of one organization at the records of another in the index: none may succeed.

Every attempt goes through the whole application, as a request; what it may not see or change is
known beforehand, so that a leak is counted and not judged.
"""

import asyncio
import hashlib
from base64 import urlsafe_b64decode
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from random import Random
from typing import Any
from urllib.parse import quote

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.fhir.model import Resource
from openldn.functions.localization.categories import SYSTEM
from openldn.functions.localization.lists import WITHHELD, custodian
from openldn.functions.localization.model import (
    NVI_IDENTIFIER,
    OAUTH_CLIENT_ID,
    SCOPES,
    URI_SYSTEM,
)
from openldn.functions.localization.tokens import envelope
from openldn.trust.parties import CALLER, Caller

HOLDERS, PATIENTS = 6, 40
_LATE = datetime(9999, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Pretended:
    """A token once opened."""

    elements: tuple[tuple[int, bytes], ...]
    digest: bytes
    expires: datetime = _LATE


class PretendedTokens:
    """Tokens without a pseudonym service: each patient is a number, each token a new one."""

    def __init__(self, name: str = "") -> None:
        """Of several makers each has a name, so that their tokens differ."""
        self._name, self._made = name, 0

    def token(self, patient: int) -> str:
        """A fresh token of this patient."""
        self._made += 1
        return envelope(f"{patient}.{self._name}{self._made}", "pretended")

    async def open(self, token: str) -> Pretended:
        """What is in a token; raises LdnError(invalid) for another kind."""
        try:
            value = parse(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            text = str(value["evaluated_output"])
            patient = int(text.partition(".")[0])
        except (ValueError, LookupError, TypeError) as error:
            raise LdnError(Issue.INVALID, "no token of ours") from error
        return Pretended(((1, element_of(patient)),), hashlib.sha256(text.encode()).digest())


def element_of(patient: int) -> bytes:
    """What stands for a group element of this patient."""
    return hashlib.sha256(b"patient %d" % patient).digest()


@dataclass(frozen=True)
class Got:
    """The answer to an attempt."""

    status: int
    body: bytes


@dataclass
class Crossing:
    """The organizations, what each registered, and what came of the attempts."""

    app: Any  # the index, an ASGI application without gateway
    tokens: PretendedTokens
    random: Random
    counts: Counter[str] = field(default_factory=Counter)
    leaks: list[str] = field(default_factory=list)
    ids: dict[Ura, list[str]] = field(default_factory=dict, repr=False)  # of the records of each

    @property
    def holders(self) -> list[Ura]:
        """The organizations that take part."""
        return [Ura(f"{n:08}") for n in range(1, HOLDERS + 1)]

    async def prepare(self) -> None:
        """Every organization registers every patient, half of them in each profile."""
        for ura in self.holders:
            for patient in range(PATIENTS):
                strict = patient % 2 == 1
                got = await self.ask(
                    ura, "POST", _base(strict) + "/List", self.a_list(ura, patient)
                )
                value = parse(got.body)
                if got.status != 201:
                    raise LdnError(Issue.EXCEPTION, f"cannot begin: status {got.status}")
                self.ids.setdefault(ura, []).append(value["id"])

    async def run(self, attempts: int, lanes: int = 1) -> None:
        """Make so many attempts of random organizations, some at the same time."""
        async with asyncio.TaskGroup() as group:
            for lane in range(lanes):
                own = replace(self, random=Random(self.random.random()))  # noqa: S311  (no secret)
                group.create_task(own.attempt(len(range(lane, attempts, lanes))))

    async def attempt(self, attempts: int) -> None:
        """Make so many attempts one after the other, each of a random kind."""
        kinds = list(_ATTEMPTS.items())
        for _ in range(attempts):
            name, attempt = self.random.choice(kinds)
            attacker, victim = self.random.sample(self.holders, 2)
            fine = await attempt(self, attacker, victim)
            self.counts[name] += 1
            if not fine:
                self.leaks.append(f"{name} {attacker} {victim}")

    async def standing(self) -> bool:
        """Whether every record stands as it was registered, seen by its own organization."""
        for ura, ids in self.ids.items():
            found = [await self.ask(ura, "GET", f"/fhir/List/{id}") for id in ids]
            if any(got.status != 200 for got in found):
                return False
        return True

    async def ask(self, who: Ura, method: str, path: str, body: Any = None) -> Got:
        """One request of this organization, with headers that claim to be another."""
        target, _, query = path.partition("?")
        kind = b"application/fhir+json" if "fhir" in path else b"application/json"
        claimed = self.random.choice(self.holders).value.encode()
        scope = {
            "type": "http",
            "method": method,
            "path": target,
            "raw_path": target.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "scheme": "https",
            "server": ("index.example", 443),
            "client": ("127.0.0.1", 1),
            "headers": [(b"content-type", kind), (b"x-gf-sub", claimed), (b"host", b"index")],
            CALLER: Caller(who, SCOPES, source=f"ehr-{who}", name=f"Holder {who}"),
        }
        return await _called(self.app, scope, dump(body) if body is not None else b"")

    def a_list(self, ura: Ura, patient: int, claimed: Ura | None = None) -> Resource:
        """A List of this organization; odd patients as the guide has it."""
        strict = patient % 2 == 1
        system = OAUTH_CLIENT_ID if strict else URI_SYSTEM
        found: Resource = {
            "resourceType": "List",
            "extension": [custodian(claimed or ura)],
            "status": "current",
            "mode": "working",
            "subject": {
                "identifier": {"system": NVI_IDENTIFIER, "value": self.tokens.token(patient)}
            },
            "source": {"identifier": {"system": system, "value": f"ehr-{ura}"}},
            "emptyReason": WITHHELD,
        }
        if strict:
            found["code"] = {"coding": [{"system": SYSTEM, "code": "Condition"}]}
        return found

    def some_id(self, of: Ura) -> str:
        """The id of a record of this organization."""
        return self.random.choice(self.ids[of])

    def base(self) -> str:
        """One of the two FHIR bases."""
        return _base(self.random.random() < 0.5)

    def subject(self, patient: int) -> str:
        """The parameter that asks for this patient."""
        return f"subject:identifier={quote(f'{NVI_IDENTIFIER}|{self.tokens.token(patient)}')}"

    def plain(self, patient: int) -> dict[str, str]:
        """A token as the plain routes take it."""
        token = self.tokens.token(patient)
        value = parse(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        return {"pseudonym": value["evaluated_output"], "oprf_key": value["blind_factor"]}

    def patient(self) -> int:
        """A patient whom every organization registered."""
        return self.random.randrange(PATIENTS)


def _base(strict: bool) -> str:
    return "/ig-ministry/fhir" if strict else "/fhir"


_UNKNOWN = "00000000-1111-4222-8333-444444444444"


async def _by_id(crossing: Crossing, attacker: Ura, victim: Ura) -> bool:
    """A foreign id is told as an unknown one, to read and to remove."""
    base, method = crossing.base(), crossing.random.choice(["GET", "DELETE"])
    foreign = await crossing.ask(attacker, method, f"{base}/List/{crossing.some_id(victim)}")
    unknown = await crossing.ask(attacker, method, f"{base}/List/{_UNKNOWN}")
    return foreign.status == 404 and foreign.body == unknown.body


async def _claim(crossing: Crossing, attacker: Ura, victim: Ura) -> bool:
    """A record for another custodian is refused."""
    patient = crossing.patient()
    body = crossing.a_list(attacker, patient, victim)
    got = await crossing.ask(attacker, "POST", _base(patient % 2 == 1) + "/List", body)
    return got.status == 403


async def _claim_in_bundle(crossing: Crossing, attacker: Ura, victim: Ura) -> bool:
    """Nor among others in a Bundle."""
    patient = 2 * crossing.random.randrange(PATIENTS // 2)
    fresh = crossing.random.randrange(PATIENTS, 10**9) * 2
    bodies = [crossing.a_list(attacker, fresh), crossing.a_list(attacker, patient, victim)]
    entries = [{"resource": b, "request": {"method": "POST", "url": "List"}} for b in bodies]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    got = await crossing.ask(attacker, "POST", "/fhir", bundle)
    return got.status == 403


async def _remove_in_bundle(crossing: Crossing, attacker: Ura, victim: Ura) -> bool:
    """A Bundle removes no record of another by its id."""
    entry = {"request": {"method": "DELETE", "url": f"List/{crossing.some_id(victim)}"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    got = await crossing.ask(attacker, "POST", crossing.base(), bundle)
    return got.status == 404 or b'"status":"404"' in got.body


async def _own_only(crossing: Crossing, attacker: Ura, victim: Ura) -> bool:
    """What lists own records lists no other's, whatever it is narrowed by."""
    source = f"source:identifier={quote(f'{OAUTH_CLIENT_ID}|ehr-{victim}')}"
    own = f"source:identifier={quote(f'{OAUTH_CLIENT_ID}|ehr-{attacker}')}"
    subject = crossing.subject(crossing.patient())
    query = crossing.random.choice([source, own, f"{source}&{subject}", f"{own}&{subject}", ""])
    got = await crossing.ask(attacker, "GET", f"{crossing.base()}/List?{query}")
    return got.status == 200 and not _names_others(crossing, got, attacker)


async def _registrations(crossing: Crossing, attacker: Ura, victim: Ura) -> bool:
    """Nor do the plain routes."""
    pairs = "&".join(f"{k}={v}" for k, v in crossing.plain(crossing.patient()).items())
    got = await crossing.ask(attacker, "GET", f"/registrations?{pairs}")
    return got.status == 200 and not _names_others(crossing, got, attacker)


async def _remove_by_source(crossing: Crossing, attacker: Ura, victim: Ura) -> bool:
    """A removal by the source of another succeeds and touches nothing."""
    subject = crossing.subject(crossing.patient())
    source = f"source:identifier={quote(f'{OAUTH_CLIENT_ID}|ehr-{victim}')}"
    query = crossing.random.choice([source, f"{source}&{subject}"])
    got = await crossing.ask(attacker, "DELETE", f"{crossing.base()}/List?{query}")
    return got.status in {201, 204}


async def _remove_all(crossing: Crossing, attacker: Ura, victim: Ura) -> bool:
    """A removal that could be everything is refused."""
    query = crossing.random.choice(["", "?subject:identifier=|x", f"?source:identifier=|{victim}"])
    got = await crossing.ask(attacker, "DELETE", f"{crossing.base()}/List{query}")
    return got.status == 400


async def _without_system(crossing: Crossing, attacker: Ura, victim: Ura) -> bool:
    """An identifier without system finds nothing."""
    name = crossing.random.choice(["subject", "source"])
    query = f"{name}:identifier={quote(f'|ehr-{victim}')}"
    got = await crossing.ask(attacker, "GET", f"{crossing.base()}/List?{query}")
    return got.status == 200 and b'"total":0' in got.body


async def _subject_shown(crossing: Crossing, attacker: Ura, victim: Ura) -> bool:
    """A localization names holders, and neither patient nor token."""
    patient = crossing.patient()
    query = crossing.subject(patient)
    got = await crossing.ask(attacker, "GET", f"{crossing.base()}/List?{query}")
    shown = b"subject" in got.body or b"evaluated" in got.body
    return got.status == 200 and not shown and URA_SYSTEM.encode() in got.body


def _names_others(crossing: Crossing, got: Got, own: Ura) -> bool:
    return any(ura.value.encode() in got.body for ura in crossing.holders if ura != own)


Attempt = Callable[[Crossing, Ura, Ura], Awaitable[bool]]
_ATTEMPTS: dict[str, Attempt] = {
    "by id": _by_id,
    "claim": _claim,
    "claim in a bundle": _claim_in_bundle,
    "removal in a bundle": _remove_in_bundle,
    "own only": _own_only,
    "registrations": _registrations,
    "removal by source": _remove_by_source,
    "removal of all": _remove_all,
    "without system": _without_system,
    "subject shown": _subject_shown,
}


async def _called(app: Any, scope: dict[str, Any], body: bytes) -> Got:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    whole = b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")
    return Got(sent[0]["status"], whole)
