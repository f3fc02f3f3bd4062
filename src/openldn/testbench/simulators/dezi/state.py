"""What the simulated provider remembers: in memory, bounded, gone with the process."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypeVar

from cryptography.hazmat.primitives.asymmetric import rsa

from openldn.access.professional.people import Practitioner, practitioners
from openldn.access.professional.settings import Node
from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, NewId, instant
from openldn.testbench.members import MEMBERS
from openldn.trust import jose

T = TypeVar("T")
_MOST = 1_000  # of anything

# Name of a fault -> what it makes the provider do. Each is set by POST /control/fault.
FAULTS = {
    "wrong_signature": "the ID token is signed with a key that is not published",
    "alg_none": "the ID token is not signed",
    "alg_hs256": "the ID token is signed with the public key as a shared secret",
    "expired": "the ID token has ended",
    "wrong_nonce": "the ID token answers another question",
    "wrong_audience": "the ID token is for another client",
    "other_party": "the ID token names two audiences, of which another is the party",
    "wrong_issuer": "the ID token is of another issuer",
    "wrong_hash": "the ID token belongs to another access token",
    "wrong_subject": "userinfo tells of another person",
    "mix_up": "the answer in the browser names another issuer",
    "no_issuer": "the answer in the browser names no issuer",
    "server_error": "the answer in the browser is an error",
    "statement_wrong_signature": "the statement is signed with a key that is not published",
    "statement_expired": "the statement has ended",
    "statement_revoked": "the statement is revoked from the start",
    "statement_other_keys": "the statement points to keys elsewhere",
    "statement_other_organization": "the statement is for an organization that is not here",
    "other_statement": "userinfo announces another statement than it gives",
    "low": "the person signed in at a low level of assurance",
    "slow": "each answer to a party waits for `seconds`",
    "broken": "each answer to a party is status 500",
}


@dataclass(frozen=True)
class Client:
    """A party that may have people sign in."""

    key: jose.Key = field(repr=False)
    redirect_uris: tuple[str, ...]


@dataclass(frozen=True)
class Asked:
    """An authorization request that passed, waiting for a person to choose."""

    client: str
    redirect_uri: str
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    challenge: str = field(repr=False)
    language: str
    asked: datetime


@dataclass
class Coded:
    """A code that was given, and the token it gave when it was used."""

    asked: Asked
    person: str  # key
    given: datetime
    token: str = field(default="", repr=False)


@dataclass
class Statement:
    """A statement that was made."""

    person: str  # key
    revoked: bool = False


@dataclass(frozen=True)
class SigningKey:
    """A key of the provider, under the name by which it is published."""

    id: str
    key: jose.Key = field(repr=False)


@dataclass
class State:
    """Everything the provider knows."""

    origin: str
    clients: Mapping[str, Client]
    clock: Clock
    new_id: NewId
    shape: str = "dezi"
    statement_lifetime: timedelta = timedelta(hours=8)
    nodes: tuple[Node, ...] = ()
    requests: dict[str, Asked] = field(default_factory=dict)
    codes: dict[str, Coded] = field(default_factory=dict, repr=False)
    tokens: dict[str, Coded] = field(default_factory=dict, repr=False)
    statements: dict[str, Statement] = field(default_factory=dict)
    assertions: dict[str, datetime] = field(default_factory=dict)  # jti seen of clients
    faults: dict[str, float] = field(default_factory=dict)  # name -> seconds, for slow
    events: list[dict[str, Any]] = field(default_factory=list)
    signing: SigningKey = field(init=False)  # of ID tokens and userinfo
    stating: SigningKey = field(init=False)  # of statements

    def __post_init__(self) -> None:
        self.nodes = self.nodes or tuple(_node(m.key, m.name, m.ura) for m in MEMBERS)
        self.rotate()

    def rotate(self) -> None:
        """Replace both keys by fresh ones under fresh names."""
        self.signing, self.stating = (_fresh(self.new_id()) for _ in range(2))

    @property
    def staff(self) -> list[tuple[Node, tuple[Practitioner, ...]]]:
        """The fictitious people by organization."""
        return [(node, practitioners(node)) for node in self.nodes]

    def keep(self, place: dict[str, T], value: T) -> str:
        """Keep `value` under a name that nobody can guess; the oldest makes room."""
        while len(place) >= _MOST:
            del place[next(iter(place))]
        name = secrets.token_urlsafe(32)
        place[name] = value
        return name

    def note(self, event: str, **facts: object) -> None:
        """One line of the event log; never a name, number, code or token."""
        self.events = self.events[-_MOST + 1 :]
        self.events.append({"at": instant(self.clock()), "event": event, **facts})

    def fault(self, name: str) -> bool:
        """Whether this fault is on."""
        return name in self.faults

    def set_fault(self, name: str, seconds: float) -> None:
        """Turn a fault on; raises LdnError(invalid) that lists them."""
        if name not in FAULTS:
            raise LdnError(Issue.INVALID, f"no such fault; choose from {', '.join(FAULTS)}")
        self.faults[name] = seconds


def _fresh(id_: str) -> SigningKey:
    raw = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return SigningKey(id_, jose.key_of(raw))


def _node(key: str, name: str, ura: str) -> Node:
    return Node(key, name, ura, api="", certificate="", key_file="")
