"""The simulated Zorgplatform itself: its state, its tokens, its launches."""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId
from openldn.fhir.identifiers import Bsn
from openldn.testbench.simulators.zorgplatform import faults
from openldn.testbench.simulators.zorgplatform.model import (
    Event,
    Fault,
    Launch,
    ZorgplatformSettings,
    load_parties,
)
from openldn.trust.certificates.keys import Signing
from openldn.trust.evidence import Proof
from openldn.trust.peers import Profile, profile
from openldn.trust.saml import trust
from openldn.trust.saml.encryption import encrypt
from openldn.trust.saml.make import Content, Towards, make
from openldn.trust.saml.organizations import organizations
from openldn.trust.saml.read import SamlExpected, read
from openldn.trust.saml.sts_service import LASTING, RelyingParty, Sts
from openldn.trust.saml.variants import variant
from openldn.trust.saml.xml import parse, serialized
from openldn.trust.trail import Trail

_CBC = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"  # as real launches have it
_MOST = 10_000  # events and used ids kept


@dataclass
class _Used:
    """What was used, each once, until it has ended."""

    clock: Clock
    seen: dict[str, datetime] = field(default_factory=dict)

    async def __call__(self, values: Sequence[str], until: datetime) -> bool:
        now = self.clock()
        self.seen = {value: ends for value, ends in self.seen.items() if ends > now}
        fresh = self.seen.keys().isdisjoint(values)
        self.seen.update(dict.fromkeys(values, until))
        return fresh


@dataclass(frozen=True)
class Professional:
    """Who launches an application, for whom."""

    user: str  # "jansen@2.16.840…"
    name: str = field(default="", repr=False)
    role: str = "223366009"  # SNOMED CT: healthcare professional
    patient: Bsn | None = None
    workflow: str = ""


@dataclass
class Platform:
    """Everything the simulator is and keeps, in memory."""

    sts: Sts
    launches: Mapping[str, Launch]
    clock: Clock
    new_id: NewId
    api: str  # FHIR base
    pending: list[Fault] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    patients: dict[str, Any] = field(default_factory=dict, repr=False)  # BSN -> Patient
    tasks: dict[str, Any] = field(default_factory=dict, repr=False)  # workflow -> Task
    _before: bytes = field(default=b"", repr=False)  # the last launch, for a duplicate

    @classmethod
    def of(cls, settings: ZorgplatformSettings, clock: Clock, new_id: NewId) -> "Platform":
        """The simulator of these settings; raises LdnError(invalid | exception)."""
        parties, launches = load_parties(settings.relying_parties)
        signing = Signing.load(settings.signing_key, settings.signing_certificate)
        public = settings.public.rstrip("/")
        sts = _sts(public, signing, parties, (clock, new_id))
        return cls(sts, launches, clock, new_id, f"{public}/fhir/V1/")

    @property
    def profile(self) -> Profile:
        """How it speaks."""
        return self.sts.profile

    def note(self, name: str, party: str = "", detail: str = "") -> None:
        """Keep in mind that this happened."""
        self.events.append(Event(self.clock(), name, party, detail))
        del self.events[:-_MOST]

    def fault(self, at: str, *kinds: str) -> Fault | None:
        """The fault that must show here now, used up by asking; only of `kinds`, when given."""
        for place, one in enumerate(self.pending):
            if one.at == at and (not kinds or one.kind in kinds):
                fewer = Fault(one.kind, one.at, one.times - 1, one.seconds)
                self.pending[place : place + 1] = [fewer] if fewer.times > 0 else []
                self.note("fault.used", detail=f"{at}: {one.kind}")
                return one
        return None

    async def issue(self, envelope: bytes, client: bytes, fault: Fault | None) -> bytes:
        """The answer of the STS, under this fault; raises LdnError as `Sts.issue` does."""
        kind = fault.kind if fault else ""
        asked = await self.sts.asked(envelope, client)
        content, towards = faults.said(kind, *self.sts.said(asked))
        made = await asyncio.to_thread(make, content, towards, self.new_id)
        self.note("sts.issued", asked.proof.system)
        return self.sts.answer(asked, faults.damaged(kind, made))

    def launch(self, identifier: str, who: Professional, fault: Fault | None) -> tuple[str, str]:
        """Where a browser posts, and the SAMLResponse it posts there.

        Raises LdnError(not-found) for a party that takes no launches.
        """
        if identifier not in self.launches:
            raise LdnError(Issue.NOT_FOUND, "this party takes no launches; see relying_parties")
        to, kind = self.launches[identifier], fault.kind if fault else ""
        if kind == "error-root":
            return to.url, _base64(b"<Error>the session cannot be opened</Error>")
        if kind != "duplicate" or not self._before:
            self._before = self._response(to, who, kind)
        self.note("sso.launched", identifier)
        return to.url, _base64(self._before)

    def _response(self, to: Launch, who: Professional, kind: str) -> bytes:
        now = self.clock()
        usual = Content(self.sts.url, who.user, _values(to.party, who), now, now + LASTING)
        form = variant("zorgplatform-sso")
        towards = Towards((to.audience,), self.profile, form, self.sts.signing)
        content, towards = faults.said(kind, usual, towards)
        assertion = faults.damaged(kind, make(content, towards, self.new_id))
        plain = kind == "unencrypted"
        token = parse(assertion, Trail()) if plain else encrypt(assertion, to.receiver, _CBC)
        # Lifetime is in the past on purpose: on the real one it often is (behavior.json).
        given = trust.Given(to.audience, now - 2 * LASTING, now - timedelta(seconds=1))
        return serialized(trust.response(given, token))

    def believed(self, assertion: bytes) -> Proof:
        """Whom an assertion in the header Authorization proves; raises LdnError(login)."""
        known = {name: party.organization for name, party in self.sts.parties.items()}
        expected = SamlExpected(
            audience=self.api,
            now=self.clock(),
            profile=self.profile,
            variant=variant("zorgplatform-token"),
            pinned={self.sts.url: (self.sts.signing.chain[0],)},
            organization=organizations(known),
        )
        return read(assertion, expected, Trail())

    def state(self) -> dict[str, Any]:
        """What it is about to do and has in store; never whom it has in store."""
        return {
            "parties": sorted(self.sts.parties),
            "launches": sorted(self.launches),
            "faults": [
                {"kind": f.kind, "at": f.at, "times": f.times, "seconds": f.seconds}
                for f in self.pending
            ],
            "patients": len(self.patients),
            "tasks": sorted(self.tasks),
        }

    def log(self) -> list[dict[str, Any]]:
        """What happened, oldest first."""
        return [{**asdict(event), "moment": event.moment.isoformat()} for event in self.events]


def _sts(
    public: str,
    signing: Signing,
    parties: Mapping[str, RelyingParty],
    world: tuple[Clock, NewId],
) -> Sts:
    clock, new_id = world
    return Sts(
        url=f"{public}/sts",
        audience=public,
        profile=profile("zorgplatform"),
        signing=signing,
        parties=parties,
        use=_Used(clock),
        clock=clock,
        new_id=new_id,
    )


def _values(party: RelyingParty, who: Professional) -> dict[str, str]:
    return {
        "purpose": "TREATMENT",
        "resource": who.patient.value if who.patient else "",
        "organization": party.identifier,
        "role": who.role,
        "name": who.name,
        "workflow": who.workflow,
    }


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
