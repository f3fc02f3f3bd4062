"""Settings of who asks for pseudonyms, and of who reads them."""

from pathlib import Path
from typing import Annotated

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient
from openldn.base.runtime import Clock, NewId
from openldn.base.settings import Settings
from openldn.functions.pseudonyms.client import Bearers, PseudonymsClient
from openldn.functions.pseudonyms.model import BSN, WIRES, Target, target
from openldn.functions.pseudonyms.recipient import Opener, opener


class TargetSettings(Settings, frozen=True):
    """A recipient of pseudonyms, and the words that both sides hash with."""

    recipient: str  # as the service knows it: "oin:00000099000000001000" or "ura:90000901"
    info: str = "info-oin"  # info-oin, info-ura, or the whole: "ura:90000901|…|v1"
    scope: str = ""  # empty: that of the info string
    kind: str = BSN  # type of the identifier; its case counts
    check: str = ""  # check value that the recipient tells; empty: not compared

    def target(self) -> Target:
        """The recipient; raises LdnError: invalid, business-rule."""
        return target(self.recipient, self.info, scope=self.scope, kind=self.kind)


class AskingSettings(TargetSettings, frozen=True, kw_only=True):
    """The pseudonym service, and the recipient that tokens are made for."""

    url: str  # origin of the service
    wire: str = "eval-2026"  # or ig-ministry, which names recipients by URA
    ura: str = ""  # whose certificate the service must show; empty: its host name is enough
    deadline: float = 5.0  # seconds for one token


class ReadingSettings(TargetSettings, frozen=True, kw_only=True):
    """A recipient's own side: the keys that its tokens are opened with."""

    # private keys (PEM, RSA); during a change of keys the old one too
    keys: Annotated[tuple[Path, ...], msgspec.Meta(min_length=1, max_length=4)]
    names: tuple[str, ...] = ()  # our other names in `aud`


def client_of(
    settings: AskingSettings, http: HttpClient, bearers: Bearers, new_id: NewId
) -> PseudonymsClient:
    """The client; raises LdnError(exception) when the check values differ (rule P05)."""
    wire = WIRES.get(settings.wire)
    if wire is None:
        text = f"no wire profile {settings.wire!r}; choose one of {', '.join(WIRES)}"
        raise LdnError(Issue.INVALID, text)
    to, patience = settings.target(), settings.deadline
    base = settings.url.rstrip("/")
    client = PseudonymsClient(http, base, to, bearers, new_id, wire=wire, deadline=patience)
    client.require(settings.check)
    return client


def opener_of(settings: ReadingSettings, clock: Clock) -> Opener:
    """The recipient's opener; raises LdnError(exception) for keys that cannot be used."""
    to = settings.target()
    names = frozenset({to.organization, *settings.names})
    return opener(settings.keys, names, to, clock)
