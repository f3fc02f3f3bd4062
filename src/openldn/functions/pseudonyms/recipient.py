"""The recipient's side: a token becomes pseudonyms that mean something to this recipient only.

Source: generic functions §6.2 steps 7-8, §6.6.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from joserfc.jwk import RSAKey

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.fhir.codec import parse
from openldn.fhir.codec.model import Limits
from openldn.functions.pseudonyms import oprf, sealing
from openldn.functions.pseudonyms.model import LIFE, SKEW, SUBJECT, Opened, Target
from openldn.trust import jose
from openldn.trust.certificates.keys import Signing

MOST_VERSIONS = 8
_LARGEST = 16 * 1024  # characters of a token
_LIMITS = Limits(size=_LARGEST, depth=2, nodes=2, values=8, digits=20)
_TEXT = "this pseudonym token does not count here; ask for a new one"
_FORM = {"evaluated_output", "blind_factor"}


@dataclass(frozen=True)
class Opener:
    """Opens what was made for one scope of this recipient."""

    keys: Mapping[str, RSAKey] = field(repr=False)  # by key id
    names: Collection[str]  # ours in `aud`: "oin:…", "ura:…"
    scope: str
    clock: Clock

    def open(self, token: str) -> Opened:
        """The pseudonyms in a token, newest key version first; whether it was used before is for
        the caller to see by its digest.

        Raises LdnError(invalid), never repeating the token, for what is no token, was made for
        another recipient or scope, or has expired; the detail tells which.
        """
        try:
            return self._opened(token)
        except LdnError as error:
            # one text for every cause: it must not help who tries out what a token may hold
            raise LdnError(Issue.INVALID, _TEXT, detail=error.detail or "token") from error

    def _opened(self, token: str) -> Opened:
        jwe, blind = _parts(token)
        claims = sealing.unseal(jwe, self.keys)
        expires = self._believed(claims)
        elements = tuple((n, oprf.unblind(blind, e)) for n, e in _evaluated(claims))
        return Opened(elements, hashlib.sha256(jwe.encode("ascii")).digest(), expires)

    def _believed(self, claims: Mapping[str, Any]) -> datetime:
        audience = claims.get("aud")
        if not isinstance(audience, str) or audience not in self.names:
            raise _refused("aud")
        if claims.get("scope") != self.scope:
            raise _refused("scope")
        issued, ends = claims.get("iat"), claims.get("exp")
        if type(issued) is not int or type(ends) is not int:
            raise _refused("exp")
        now = self.clock().timestamp()
        if not issued - SKEW <= now <= ends + SKEW or not 0 < ends - issued <= LIFE:
            raise _refused("exp")
        return datetime.fromtimestamp(ends, UTC)


def opener(keys: Sequence[Path], names: Collection[str], target: Target, clock: Clock) -> Opener:
    """An opener with the private keys in these PEM files, under the ids they registered with.

    Raises LdnError(exception) for a file that holds no RSA key.
    """
    return Opener(dict(map(_key, keys)), names, target.scope, clock)


def _key(path: Path) -> tuple[str, RSAKey]:
    key = Signing.load(path).key
    if not isinstance(key, RSAKey):
        raise LdnError(Issue.EXCEPTION, f"{path} must hold an RSA key, which others encrypt to")
    return jose.jwk_thumbprint(key), key


def _parts(token: str) -> tuple[str, bytes]:
    """The JWE and the blind factor in a token, padded or not."""
    if len(token) > _LARGEST:
        raise _refused("size")
    try:
        content = parse(jose.unpadded(token.rstrip("=")), _LIMITS)
    except LdnError as error:
        raise _refused("form") from error
    if not isinstance(content, dict) or set(content) != _FORM:
        raise _refused("form")
    jwe, blind = content["evaluated_output"], content["blind_factor"]
    if not isinstance(jwe, str) or not isinstance(blind, str):
        raise _refused("form")
    return jwe, oprf.decoded(blind)


def _evaluated(claims: Mapping[str, Any]) -> list[tuple[int, bytes]]:
    subject, others = claims.get("subject"), claims.get("extra_versions") or {}
    if not isinstance(subject, str) or not subject.startswith(SUBJECT):
        raise _refused("subject")
    if not isinstance(others, dict) or len(others) >= MOST_VERSIONS:
        raise _refused("versions")
    rest = sorted(((_number(n), _element(e)) for n, e in others.items()), reverse=True)
    # The ministry's service does not tell the number of the newest version; ours does.
    told = claims.get("key_version")
    newest = told if type(told) is int else (rest[0][0] if rest else 0) + 1
    if newest < 1 or newest in dict(rest):
        raise _refused("versions")
    return [(newest, _element(subject.removeprefix(SUBJECT))), *rest]


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6 and text[0] != "0"):
        raise _refused("versions")
    return int(text)


def _element(value: object) -> bytes:
    if not isinstance(value, str):
        raise _refused("element")
    return oprf.decoded(value)


def _refused(detail: str) -> LdnError:
    return LdnError(Issue.INVALID, _TEXT, detail=f"token.{detail}")
