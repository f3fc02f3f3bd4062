"""How each fault changes what is said, and what is sent."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

from openldn.trust.saml.make import Content, Towards

_EARLIER, _LATER = timedelta(hours=-2), timedelta(hours=2)
_ELSEWHERE = "https://elsewhere.example/"
_SIGNATURE = re.compile(rb"(<ds:SignatureValue>\s*)(.)", re.DOTALL)


def _shifted(content: Content, by: timedelta) -> Content:
    return replace(content, issued=content.issued + by, ends=content.ends + by)


# What is said wrongly, and then signed properly.
SAID: Mapping[str, Callable[[Content], Content]] = {
    "expired": lambda said: _shifted(said, _EARLIER),
    "not-yet": lambda said: _shifted(said, _LATER),
    "wrong-issuer": lambda said: replace(said, issuer=_ELSEWHERE),
    "no-tenant": lambda said: replace(said, name_id=said.name_id.partition("@")[0]),
}
TOWARDS: Mapping[str, Callable[[Towards], Towards]] = {
    "wrong-audience": lambda towards: replace(towards, audiences=(_ELSEWHERE,)),
}


def said(kind: str, content: Content, towards: Towards) -> tuple[Content, Towards]:
    """What is said under this fault, and to whom."""
    change, turn = SAID.get(kind), TOWARDS.get(kind)
    return (change(content) if change else content, turn(towards) if turn else towards)


def damaged(kind: str, assertion: bytes) -> bytes:
    """The signed assertion under this fault."""
    return _SIGNATURE.sub(_other, assertion, count=1) if kind == "wrong-signature" else assertion


def _other(match: re.Match[bytes]) -> bytes:
    return match.group(1) + (b"B" if match.group(2) == b"A" else b"A")
