"""Identity headers: taken off every request, and read only where an existing gateway sends them.

Source: specification of the generic functions §2.6, rules L34-L36 and L44.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeVar

from starlette.types import Scope

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Oin, Ura
from openldn.functions.authentication.model import OIN, Party, Register
from openldn.functions.authentication.profiles import HeaderForm, Protected
from openldn.trust.parties import Caller

Network = IPv4Network | IPv6Network
Shown = Mapping[str, tuple[str, ...]]  # lower-case name -> each value that came
T = TypeVar("T")

_PREFIX = b"x-gf-"
_CERTIFICATE = b"x-forwarded-tls-client-cert"
_VALUE = re.compile(r"[\x20-\x7e]{1,512}")


def taken_off(scope: Scope) -> Shown:
    """The identity headers of this request, which from now on are not there any more (L44).

    Underscores count as hyphens: some servers make no difference.
    """
    kept, found = [], dict[str, list[str]]()
    for name, value in scope["headers"]:
        plain = name.lower().replace(b"_", b"-")
        if plain.startswith(_PREFIX) or plain == _CERTIFICATE:
            found.setdefault(plain.decode("latin-1"), []).append(value.decode("latin-1"))
        else:
            kept.append((name, value))
    scope["headers"] = kept
    return {name: tuple(values) for name, values in found.items()}


def networks(texts: Collection[str]) -> tuple[Network, ...]:
    """Networks in CIDR form; raises LdnError(invalid) that names the one that is none."""
    return tuple(map(_network, texts))


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as error:
        raise LdnError(Issue.INVALID, f"not an address or network (CIDR): {text}") from error


@dataclass(frozen=True)
class Upstream:
    """An existing national gateway before us, whose headers we believe from its addresses only."""

    service: Protected
    form: HeaderForm
    addresses: tuple[Network, ...]
    audiences: frozenset[str]
    register: Register

    def sends(self, scope: Scope) -> bool:
        """Whether this request comes from an address of that gateway."""
        client = scope.get("client")
        try:
            address = ip_address(client[0]) if client else None
        except ValueError:
            return False
        return address is not None and any(_within(address, n) for n in self.addresses)

    def caller(self, shown: Shown) -> Caller:
        """Who calls, as the headers say.

        Raises LdnError: as the service calls a missing or unreadable header, or another
        audience; invalid for a scope word that the service does not have.
        """
        values = {name: self._value(shown, name) for name in self.form.required}
        if values["x-gf-audience"] not in self.audiences:
            text = "this service is not in the audience of the token; ask one for this service"
            raise LdnError(self.form.audience, text, detail="gateway.audience")
        scopes = self._scopes(values.get("x-gf-scope", ""))
        ura, oin, name = self._organization(values)
        acting = self._parsed("x-gf-act-sub", Oin.parse, values["x-gf-act-sub"])
        source = self._value(shown, "x-gf-source-id") if "x-gf-source-id" in shown else ""
        other = self.register.acting(Party(acting.value), ura)
        if oin == acting:
            other = ""
        audience = values["x-gf-audience"]
        return Caller(ura, scopes, oin, other, source, audience, name)

    def _organization(self, values: Mapping[str, str]) -> tuple[Ura, Oin | None, str]:
        named = values.get("x-gf-organization-name", "")
        if self.service.number != OIN:
            ura = self._parsed("x-gf-sub", Ura.parse, values["x-gf-sub"])
            known = self.register.by_ura(ura)
            return ura, known.oin if known else None, named
        oin = self._parsed("x-gf-sub", Oin.parse, values["x-gf-sub"])
        known = self.register.by_oin(oin)
        if known is None:
            text = "no organization with this OIN is registered here; ask the operator to add it"
            raise LdnError(Issue.FORBIDDEN, text, detail="gateway.oin")
        return known.ura, oin, known.name or named

    def _scopes(self, text: str) -> frozenset[str]:
        words = frozenset(text.split()) or self.form.implied
        if not words or not words <= self.service.scopes:
            known = ", ".join(sorted(self.service.scopes))
            text = f"x-gf-scope has a word that this service does not have; it has: {known}"
            raise LdnError(Issue.INVALID, text, detail="gateway.scope")
        return words

    def _value(self, shown: Shown, name: str) -> str:
        values = shown.get(name, ())
        if len(values) != 1 or not _VALUE.fullmatch(values[0]):
            text = f"the header {name} must come once, with a value; the turn of the gateway"
            raise LdnError(self.form.missing, text, detail=f"gateway.header: {name}")
        return values[0]

    def _parsed(self, name: str, parse: Callable[[str], T], text: str) -> T:
        try:
            return parse(text)
        except LdnError as error:
            told = f"{name}: {error.message}; the turn of the gateway"
            raise LdnError(self.form.missing, told, detail=f"gateway.header: {name}") from error


def _within(address: IPv4Address | IPv6Address, network: Network) -> bool:
    plain = getattr(address, "ipv4_mapped", None) or address
    return plain.version == network.version and plain in network
