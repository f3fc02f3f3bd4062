"""Who stands in the network on a laptop, on which port, in which file."""

from dataclasses import dataclass
from pathlib import Path

from openldn.base.errors import Issue, LdnError
from openldn.testbench.members import FUNCTIONS, MEMBERS, PARTIES, Member

PORT_BASE = 8400
HOST = "127.0.0.1"
SAML = "broker-saml"  # folder of the certificate that the broker signs SAML with
# The test authority, the broker, the simulated Zorgplatform and the simulated sign-in provider;
# then the functions that run together in one process.
SERVICES = ("authority", "broker", "zorgplatform", "dezi", "localization", "pseudonyms", "consent")
PLAIN = {"portal", "authority", "dezi"}  # without TLS: people type it, or it is signed itself
DOORS = {
    "simulators": "authority",
    "functions": "localization",
}  # where a part of several answers first
NAMED = {"broker", "zorgplatform", "dezi"}  # by name: a did:web cannot be an IP address


@dataclass(frozen=True)
class Plan:
    """One network: its folder and its ports."""

    folder: Path
    base: int = PORT_BASE
    members: tuple[Member, ...] = MEMBERS
    parties: tuple[Member, ...] = ()  # simulated care providers with existing systems

    @property
    def portal(self) -> int:
        """The port of the professional portal, which people type."""
        return self.base

    @property
    def addressing(self) -> int:
        """The port of the directory."""
        return self.base + 1

    @property
    def services(self) -> dict[str, int]:
        """The ports of what the nodes lean on, beside the directory."""
        return {name: self.base + 2 + n for n, name in enumerate(SERVICES)}

    def port(self, member: Member) -> int:
        """The port of this member's node, or of the party that is simulated."""
        return self.base + 10 + (*self.members, *self.parties).index(member)

    @property
    def ports(self) -> dict[str, int]:
        """Every port of this network by the name of what listens there."""
        nodes = {m.key: self.port(m) for m in (*self.members, *self.parties)}
        return {
            "portal": self.portal,
            "addressing": self.addressing,
            **self.services,
            **nodes,
        }

    def origin(self, name: str) -> str:
        """The address of a part, without a path."""
        name = DOORS.get(name, name)
        scheme = "http" if name in PLAIN else "https"
        host = "localhost" if name in NAMED else HOST
        return f"{scheme}://{host}:{self.ports[name]}"

    @property
    def broker(self) -> str:
        """The broker's issuer URL."""
        return f"{self.origin('broker')}/oauth2/broker"

    @property
    def sts(self) -> str:
        """The token service of the simulated Zorgplatform, and its name as issuer."""
        return f"{self.origin('zorgplatform')}/sts"

    @property
    def network_file(self) -> Path:
        """Tells other programs where everything is; there only while all is healthy."""
        return self.folder / "network.json"

    @property
    def pki(self) -> Path:
        """The folder of the test certificates."""
        return self.folder / "pki"

    @property
    def relying_parties(self) -> Path:
        """Who may ask the simulated Zorgplatform for assertions."""
        return self.folder / "settings" / "relying-parties.json"

    def settings(self, name: str) -> Path:
        """The settings file of a part."""
        return self.folder / "settings" / f"{name}.toml"

    def log(self, name: str) -> Path:
        """The log of a part."""
        return self.folder / "logs" / f"{name}.log"

    def network(self) -> dict[str, object]:
        """The content of `network_file`."""
        return {
            "version": 1,
            "nodes": [self._node(m) for m in self.members],
            "services": {
                "addressing": f"{self.origin('addressing')}/fhir/R4",
                "broker": self.broker,
            },
            "functions": [self._function(member) for member in FUNCTIONS],
            "simulators": [self._simulated(member) for member in self.parties],
            "portals": {
                "home": f"{self.origin('portal')}/",
                "administration": f"{self.origin('portal')}/beheer/",
                "citizens": f"{self.origin('portal')}/mijn/",
            },
            "trust": {
                "ca": str(self.pki / "ca.pem"),
                "revocation": f"{self.origin('authority')}/crl/issuing.crl",
                "saml": {
                    self.broker: str(self.pki / SAML / "pinned.pem"),
                    self.sts: str(self.pki / "zorgplatform" / "pinned.pem"),
                },
            },
        }

    def _node(self, member: Member) -> dict[str, object]:
        origin = self.origin(member.key)
        fhir = {fhir: f"{origin}/fhir/{fhir}" for fhir in ("STU3", "R4")}
        return {**self._party(member, f"{origin}/api"), "fhir": fhir}

    def _simulated(self, member: Member) -> dict[str, object]:
        return self._party(member, f"{self.origin(member.key)}/control")

    def _function(self, member: Member) -> dict[str, object]:
        return self._party(member, self.origin(member.key))

    def _party(self, member: Member, api: str) -> dict[str, object]:
        """Somebody in the network, and the certificate that acts for them."""
        return {
            "key": member.key,
            "name": member.name,
            "ura": member.ura,
            "infrastructure": member.infrastructure,
            "api": api,
            "certificate": str(self.pki / member.key / "server.pem"),
            "key_file": str(self.pki / member.key / "server.key"),
        }


def plan(folder: Path, base: int = PORT_BASE, *, simulators: bool = False) -> Plan:
    """The network in this folder, with simulated parties or without.

    Raises LdnError(invalid) for impossible ports.
    """
    if not 1024 <= base <= 65000:
        text = f"--port-base {base}: choose a number from 1024 to 65000"
        raise LdnError(Issue.INVALID, text)
    return Plan(folder.absolute(), base, parties=PARTIES if simulators else ())
