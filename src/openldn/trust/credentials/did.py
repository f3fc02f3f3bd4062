"""Decentralized identifiers as text: read strictly, decoded once, never repaired.

Source: W3C DID Core §3.1, did:web, did:key, did:jwk, did:x509 (with the extension of Nuts RFC023).
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NoReturn
from urllib.parse import unquote

from openldn.base.errors import Issue
from openldn.trust.trail import Rule, Trail

LARGEST = 4 * 1024  # characters of one DID
METHODS = ("web", "key", "jwk", "x509")
HASHES = {"sha256": 43, "sha384": 64, "sha512": 86}  # characters of a fingerprint
KEYS = {
    "subject": frozenset({"C", "CN", "L", "ST", "O", "OU", "STREET", "serialNumber"}),
    "san": frozenset({"email", "dns", "uri", "ip", "otherName"}),
}

FORM = Rule("did.form", "DID Core §3.1", "the DID is well-formed and of a length we accept")
METHOD = Rule("did.method", "trust and broker §3", "the DID is of a method we resolve")
KID = Rule("did.kid", "RFC 7515 §4.1.4", "the kid is a DID URL of the DID that issued this")
WEB = Rule("did.web", "did:web §2.1", "a host name, perhaps a port, and plain path segments")
X509_FORM = Rule("did.x509.form", "did:x509 §3", "version 0, a fingerprint, and policies")
X509_HASH = Rule("did.x509.hash", "R57", "the fingerprint is sha256, sha384 or sha512")
X509_KEY = Rule("did.x509.key", "Nuts RFC023 §3", "policies and their keys are the known ones")
X509_VALUE = Rule("did.x509.value", "did:x509 §3", "a value is percent-encoded exactly once")

_DID = re.compile(r"did:([a-z0-9]{1,20}):((?:[A-Za-z0-9._:-]|%[0-9A-Fa-f]{2})+)")
_FRAGMENT = re.compile(r"[A-Za-z0-9._~:-]{1,800}")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = re.compile(rf"({_LABEL}(?:\.{_LABEL})*)(?:%3[Aa]([1-9][0-9]{{0,4}}))?")
_SEGMENT = re.compile(r"[A-Za-z0-9._-]{1,200}")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_OID = re.compile(r"[0-2](?:\.[0-9]{1,30}){1,30}")
_ENCODED = re.compile(r"%[0-9A-Fa-f]{2}")


@dataclass(frozen=True)
class Policy:
    """One thing that a did:x509 says of its certificate: kind, key, value."""

    kind: str  # subject, san, eku
    key: str  # "O"; "oid" for eku
    value: str = field(repr=False)  # decoded


@dataclass(frozen=True)
class X509Name:
    """What a did:x509 says: the authority, and what must stand in the leaf."""

    algorithm: str
    fingerprint: str  # base64url of the hash of a CA certificate
    policies: tuple[Policy, ...]


@dataclass(frozen=True)
class Did:
    """A DID that is well-formed; `x509` for that method only."""

    text: str
    method: str
    specific: str
    x509: X509Name | None = None

    @property
    def address(self) -> str:
        """Where the document of a did:web stands; the host is checked already."""
        host, *path = self.specific.split(":")
        place = "/".join(path) if path else ".well-known"
        return f"https://{unquote(host)}/{place}/did.json"


def parse(text: str, trail: Trail | None = None) -> Did:
    """The DID in `text`; raises LdnError(the trail's issue, else invalid) with the rule broken."""
    trail = Trail(issue=Issue.INVALID) if trail is None else trail
    found = _parsed(text)
    return refuse(found, trail) if isinstance(found, Rule) else found


def refuse(rule: Rule, trail: Trail) -> NoReturn:
    """Note that this rule is broken, and raise the trail's error for it."""
    trail.require(False, rule)
    raise AssertionError("a failed check refuses")


def parse_url(text: str, issuer: str, trail: Trail) -> str:
    """The fragment of a kid that names a key of `issuer`, as sent; raises LdnError otherwise."""
    did, hash_, fragment = text.partition("#")
    fits = did == issuer and hash_ == "#" and _FRAGMENT.fullmatch(fragment) is not None
    trail.require(fits, KID)
    return fragment


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Did | Rule:
    match = _DID.fullmatch(text) if len(text) <= LARGEST else None
    if match is None or text.endswith(":"):
        return FORM
    method, specific = match.groups()
    if method not in METHODS:
        return METHOD
    try:
        return Did(text, method, specific, _READERS[method](specific))
    except _Broken as broken:
        return broken.rule


class _Broken(Exception):
    def __init__(self, rule: Rule) -> None:
        super().__init__(rule.code)
        self.rule = rule


def _need(fits: bool, rule: Rule) -> None:
    if not fits:
        raise _Broken(rule)


def _web(specific: str) -> None:
    host, *path = specific.split(":")
    match = _HOST.fullmatch(host)
    _need(match is not None and len(host) <= 253, WEB)
    name, port = match.groups() if match else ("", "")
    # did:web §2.1: never an address; a name that ends in digits would be read as one
    _need(not name.rpartition(".")[2].isdigit() and int(port or 1) <= 65535, WEB)
    _need(all(_SEGMENT.fullmatch(s) and s not in {".", ".."} for s in path), WEB)


def _plain(specific: str) -> None:
    _need(_BASE64URL.fullmatch(specific) is not None, FORM)


def _x509(specific: str) -> X509Name:
    head, *groups = specific.split("::")
    parts = head.split(":")
    _need(len(parts) == 3 and parts[0] == "0" and 0 < len(groups) <= 30, X509_FORM)
    _, algorithm, fingerprint = parts
    _need(algorithm in HASHES, X509_HASH)
    size = len(fingerprint) == HASHES[algorithm]
    _need(size and _BASE64URL.fullmatch(fingerprint) is not None, X509_FORM)
    return X509Name(algorithm, fingerprint, tuple(p for g in groups for p in _policies(g)))


def _policies(group: str) -> list[Policy]:
    kind, *rest = group.split(":")
    if kind == "eku":
        _need(len(rest) == 1 and _OID.fullmatch(rest[0]) is not None, X509_KEY)
        return [Policy(kind, "oid", rest[0])]
    _need(kind in KEYS, X509_KEY)  # fulcio-issuer among the others
    _need(len(rest) >= 2 and len(rest) % 2 == 0 and all(rest), X509_FORM)
    pairs = list(zip(rest[::2], rest[1::2], strict=True))
    _need(all(key in KEYS[kind] for key, _ in pairs), X509_KEY)
    return [Policy(kind, key, _decoded(value)) for key, value in pairs]


def _decoded(value: str) -> str:
    try:
        text = unquote(value, errors="strict")
    except UnicodeDecodeError as error:
        raise _Broken(X509_VALUE) from error
    # "%2527" is an apostrophe encoded twice: no name in a certificate looks like that
    _need(_ENCODED.search(text) is None and "\x00" not in text, X509_VALUE)
    return text


_READERS = {"web": _web, "key": _plain, "jwk": _plain, "x509": _x509}
