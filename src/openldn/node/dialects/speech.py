"""Who speaks which dialect, and how parties name each other in it.

The setting of a peer decides; else the directory: who takes notifications of the harmonized form
gets those, anyone else the dialect of its road.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from openldn.base.errors import Issue, LdnError
from openldn.exchanges import EXCHANGES
from openldn.fhir.identifiers import CANON, URA_SYSTEM, Ura
from openldn.functions.addressing.model import Directory, Endpoint
from openldn.node.coordination.peers import NOTIFIED
from openldn.node.coordination.requests import OURS
from openldn.node.dialects.settings import PeerSettings
from openldn.patterns.dialects import DIALECTS, of_peer
from openldn.patterns.dialects.hearing import Known
from openldn.patterns.dialects.model import Content, Dialect, Named, Parties
from openldn.patterns.dialects.organizations import AGB_OID, DID
from openldn.patterns.dialects.table import CARE_PLAN, MIXED
from openldn.patterns.exchange import Exchange, Pattern, UseCase, Wire
from openldn.trust.peers import INFRASTRUCTURES, Profile, profile

_OWNERLESS = "owner-may-be-absent"
_SYSTEM = "/serviceEndpoint?type=fhir"  # of an organization on Nuts: its system


@dataclass(frozen=True)
class Case:
    """A use case of an exchange that one dialect has words for."""

    exchange: Exchange
    case: UseCase
    wire: Wire


def cases(code: str) -> list[Case]:
    """What can be offered in this dialect."""
    return [
        Case(exchange, case, case.wires[code])
        for exchange in EXCHANGES.values()
        for case in exchange.use_cases
        if case.pattern is Pattern.NOTIFIED_PULL and code in case.wires
    ]


def case_of(code: str, exchange: str, use_case: str) -> Case:
    """This use case in this dialect; raises LdnError(not-supported)."""
    for found in cases(code):
        if (found.exchange.code, found.case.name) == (exchange, use_case):
            return found
    text = f"{exchange} cannot be offered in the dialect {code}; another dialect is needed"
    raise LdnError(Issue.NOT_SUPPORTED, text, status=422)


CARE_PLANS = f"{CANON}/CapabilityStatement/care-plan-service"  # hosts Tasks of care plans


def hosts(code: str, case: Case) -> str:
    """What the address is known by at which a party of this dialect hosts its Tasks."""
    return CARE_PLANS if code == CARE_PLAN.code else case.exchange.payload


def contents(code: str) -> tuple[Content, ...]:
    """What the codes of Tasks in this dialect mean."""
    return tuple(
        Content(c.exchange.code, c.case.name, c.wire.work.system, c.wire.work.code, c.case.table)
        for c in cases(code)
    )


@dataclass(frozen=True)
class Speech:
    """What one organization knows of how others speak."""

    ura: Ura
    directory: Directory
    peers: dict[Ura, PeerSettings]
    own: PeerSettings = field(default_factory=PeerSettings)  # by which messages name ourselves

    async def towards(self, peer: Ura, exchange: Exchange, case: UseCase) -> Dialect | None:
        """The dialect in which this peer is offered this; None: the harmonized form.

        Raises LdnError: not-found for a peer that takes no notifications, not-supported when its
        dialect has no words for this.
        """
        code = self.wire(peer)
        if not code and await self._serves(peer, NOTIFIED):
            return None
        code = code or await self._by_road(peer, case)
        if code == OURS:
            await self.directory.endpoint(peer, NOTIFIED)
            return None
        found = case_of(code, exchange.code, case.name)
        await self.directory.endpoint(peer, found.wire.receiver)
        return self.dialect(peer, code)

    async def known(self, peer: Ura) -> Known:
        """What is known of who sends us a notification."""
        agreed, code = self._profile(peer), self.wire(peer)
        if agreed is None and not code:
            agreed = await self._of_road(peer)
        wire = code or (agreed.wire if agreed else MIXED.code)
        return Known(wire, agreed is not None and _OWNERLESS in agreed.quirks)

    def dialect(self, peer: Ura, code: str) -> Dialect:
        """A dialect as this peer speaks it: by the identifiers that it knows organizations by."""
        agreed = self._profile(peer)
        return of_peer(code, agreed.org_id if agreed else "ura")

    def parties(self, dialect: Dialect, now: datetime, peer: Ura, did: str) -> Parties:
        """Who is who in messages of this peer, also by the DID that its token proved."""
        names = self._names() | ({Named(DID, did): peer} if did else {})
        called = {(ura, named.system): named for named, ura in names.items()}
        return Parties(
            now,
            contents(dialect.code),
            self._own_system(dialect),
            names.get,
            lambda ura: _called(ura, dialect, called),
            peer,
            self.ura,
        )

    def placing(self, dialect: Dialect, now: datetime, peer: Ura) -> Parties:
        """The same for what we offer this peer ourselves."""
        return replace(self.parties(dialect, now, peer, ""), placer=self.ura, fulfiller=peer)

    def _names(self) -> dict[Named, Ura]:
        told = [(self.ura, self.own), *self.peers.items()]
        pairs = [(Named(AGB_OID, p.agb), u) for u, p in told if p.agb]
        return dict([*pairs, *((Named(DID, p.did), u) for u, p in told if p.did)])

    def _own_system(self, dialect: Dialect) -> Named | None:
        if dialect.organizations[0] != DID or not self.own.did:
            return None
        return Named(DID, f"{self.own.did}{_SYSTEM}")

    def wire(self, peer: Ura) -> str:
        """The code of the dialect that is set for this peer; empty where none is."""
        told = self.peers.get(peer)
        if told is None or (not told.wire and not told.profile):
            return ""
        return told.wire or profile(told.profile).wire

    def _profile(self, peer: Ura) -> Profile | None:
        told = self.peers.get(peer)
        return profile(told.profile) if told is not None and told.profile else None

    async def _by_road(self, peer: Ura, case: UseCase) -> str:
        for code, wire in case.wires.items():
            if code in (OURS, CARE_PLAN.code):  # in a care plan is only who is set so
                continue
            if (endpoint := await self._found(peer, wire.receiver)) is not None:
                usual = road_profile(endpoint).wire
                return usual if usual in case.wires else MIXED.code
        return OURS  # which says what is missing

    async def _of_road(self, peer: Ura) -> Profile | None:
        for exchange in EXCHANGES.values():
            if exchange.has(Pattern.NOTIFIED_PULL):
                endpoint = await self._found(peer, exchange.payload)
                if endpoint is not None:
                    return road_profile(endpoint)
        return None

    async def _serves(self, peer: Ura, payload: str) -> bool:
        return await self._found(peer, payload) is not None

    async def _found(self, peer: Ura, payload: str) -> Endpoint | None:
        try:
            return await self.directory.endpoint(peer, payload)
        except LdnError as error:
            if error.issue is not Issue.NOT_FOUND:
                raise
            return None


def road_profile(endpoint: Endpoint) -> Profile:
    """What is agreed with who is on this road."""
    return profile(INFRASTRUCTURES.get(endpoint.infrastructure, INFRASTRUCTURES["direct"]))


def _called(ura: Ura, dialect: Dialect, names: Mapping[tuple[Ura, str], Named]) -> Named | None:
    """By the first kind of identifier that the dialect takes and we know."""
    for system in dialect.organizations:
        if system == URA_SYSTEM:
            return Named(URA_SYSTEM, str(ura))
        if (ura, system) in names:
            return names[ura, system]
    return None


def checked(peers: Mapping[str, PeerSettings]) -> dict[Ura, PeerSettings]:
    """The settings by URA; raises LdnError(invalid) for a URA, wire or profile that is none."""
    found = {}
    for text, told in peers.items():
        if told.wire and told.wire not in DIALECTS:
            choose = f"choose from {', '.join(DIALECTS)}"
            raise LdnError(Issue.INVALID, f"peers.{text}.wire: no dialect {told.wire}; {choose}")
        if told.profile:
            profile(told.profile)
        found[Ura.parse(text)] = told
    return found
