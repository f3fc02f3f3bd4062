"""Per-peer profiles: what each kind of peer may use and expects, as data.

Code branches on the fields of a profile, never on its name. Source: trust and broker §8.
"""

from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

import msgspec

from openldn.base.errors import Issue, LdnError

# `none` and HS* cannot even be written here: a public key must never serve as a secret.
_Elliptic = Literal["ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
_Rsa = Literal["PS256", "PS384", "PS512", "RS256", "RS384", "RS512"]
Jose = _Elliptic | _Rsa
XmlSignature = Literal["rsa-sha256", "rsa-sha384", "rsa-sha512", "ecdsa-sha256", "ecdsa-sha384"]
Dialect = Literal["D1", "D2", "D3", "D4", "D5", "D6", "D7", "D8", "D9", "D10", "SAML"]
Wire = Literal["T", "N", "NP", "K", "W", "O", "H"]
Form = Literal["issuer", "token-endpoint", "either"]
OrganizationId = Literal["ura", "agb-oid", "did"]
Revocation = Literal["crl-hard", "crl-or-ocsp", "statuslist", "bitstring"]
StatusEntry = Literal["", "StatusList2021Entry", "BitstringStatusListEntry"]
Tls = Literal["ncsc-2.1", "ncsc-2025-05"]
# In each query, by the token alone, or as the release of the exchange has it.
PatientForm = Literal["query", "token", "release"]
_Seconds = Annotated[int, msgspec.Meta(ge=1, le=3600)]

QUIRKS = {  # name -> what the peer does that its agreement does not say, and what we do
    "owner-may-be-absent": (
        "its notification Task has no owner: the receiver is taken from the address it was sent to"
    ),
    "response-lifetime-unchecked": (
        "the Lifetime in an answer of its STS is not looked at: the Conditions of the assertion "
        "decide until when it counts"
    ),
    "patient-after-launch-404": (
        "it answers 404 for a patient until the user has opened the workflow: "
        "the question is repeated once after the launch"
    ),
}


class Algorithms(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The algorithms of each kind of object, preferred first; empty: the peer has none."""

    credential: tuple[Jose, ...] = ()
    presentation: tuple[Jose, ...] = ()
    client_assertion: tuple[Jose, ...] = ()
    assertion: tuple[Jose, ...] = ()
    dpop: tuple[Jose, ...] = ()
    saml: tuple[XmlSignature, ...] = ()


class Lifetimes(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The longest that each kind of object may live, in seconds."""

    presentation: _Seconds = 5
    assertion: _Seconds = 300
    saml: _Seconds = 900
    token: _Seconds = 600


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is agreed with one kind of peer."""

    name: str
    wire: Wire  # dialect of the patterns
    token_in: tuple[Dialect, ...]  # dialects of token requests we take from it
    token_out: tuple[Dialect, ...]  # those we send it, preferred first
    alg_in: Algorithms  # what we believe of it
    alg_out: Algorithms  # what we sign for it
    aud_form: Form = "either"  # what a proof for it is addressed to
    org_id: OrganizationId = "ura"  # how it names an organization
    anchors: tuple[str, ...] = ()  # thumbprints of CA certificates, pinned certificates, key sets
    revocation: Revocation = "crl-hard"  # how we learn that something of it was revoked
    status_list: StatusEntry = ""  # type of status entry we issue to it
    tls: Tls = "ncsc-2025-05"
    client_certificate: bool = True  # connections show one, both ways
    renegotiation: bool = False  # one TLS 1.2 renegotiation is allowed (Zorgplatform)
    lifetimes: Lifetimes = Lifetimes()
    skew: Annotated[int, msgspec.Meta(ge=0, le=60)] = 5  # seconds that clocks may differ
    reply: Literal[200, 201, 202, 204] = 200  # status it expects to a notification
    headers: tuple[str, ...] = ()  # headers that every request to it carries
    patient: PatientForm = "release"  # how a question names its patient (R77)
    quirks: frozenset[str] = frozenset()  # named deviations: a key of QUIRKS


@cache
def profiles() -> dict[str, Profile]:
    """Every profile that ships with the product, by name."""
    folder = files(__package__) / "data"
    found = (load(f.read_bytes(), f.name) for f in folder.iterdir() if f.name.endswith(".json"))
    return {p.name: p for p in sorted(found, key=lambda p: p.name)}


def profile(name: str) -> Profile:
    """The profile with this name; raises LdnError(not-found) that lists the names."""
    try:
        return profiles()[name]
    except KeyError as error:
        text = f"no peer profile {name!r}; choose from {', '.join(profiles())}"
        raise LdnError(Issue.NOT_FOUND, text) from error


def load(content: bytes, origin: str) -> Profile:
    """The profile in this JSON; raises LdnError(invalid) that names the file and the key."""
    try:
        found = msgspec.json.decode(content, type=Profile)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise LdnError(Issue.INVALID, f"peer profile {origin}: {error}") from error
    if unknown := found.quirks - QUIRKS.keys():
        text = f"peer profile {origin}: no quirk {', '.join(sorted(unknown))}"
        raise LdnError(Issue.INVALID, text)
    return found


def schema() -> bytes:
    """The JSON schema of a profile file; it stands beside the profiles as `schema.json`."""
    return msgspec.json.format(msgspec.json.encode(msgspec.json.schema(Profile)), indent=2) + b"\n"


# What is agreed with the parties of an infrastructure, unless a peer has a profile of its own.
INFRASTRUCTURES = {
    "direct": "twiin",
    "lsp": "lsp",
    "medmij": "medmij",
    "nuts": "nuts-6",
    "zorgplatform": "zorgplatform",
}


def of_infrastructure(name: str) -> Profile:
    """The profile of who is on this road; raises LdnError(not-found)."""
    return profile(INFRASTRUCTURES.get(name, name))
