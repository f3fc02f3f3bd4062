"""The parts of the network as settings files."""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from openldn.access.professional.reception import RETURN
from openldn.node.push.kinds import kinds
from openldn.testbench.laptop.certify import leaf
from openldn.testbench.laptop.ground import write
from openldn.testbench.laptop.plan import HOST, SAML, Plan
from openldn.testbench.members import (
    BROKER,
    CONSENT,
    FUNCTIONS,
    LOCALIZATION,
    OPERATOR,
    PLATFORM,
    PSEUDONYMS,
    Member,
)
from openldn.testbench.synth.story import JANSEN
from openldn.trust.certificates.party import thumbprint

DsnOf = Callable[[str], str]  # name of a database -> its DSN
Values = Mapping[str, Any]  # as TOML has them; a mapping inside is a table
# How others may ask for tokens at a holder: in the dialect of its own infrastructure.
DIALECTS = {
    "lsp": ["D2"],
    "nuts": ["D1", "D3", "D2"],
    "zorgplatform": ["SAML", "D2"],
}  # D2 beside its own: offers go from node to node
FOREIGN = ["D1", "D2", "D3"]  # and where parties with existing systems take part
# The index as the pseudonym service knows it, and the words that pseudonyms are made with.
RECIPIENT = {"recipient": f"ura:{LOCALIZATION.ura}", "info": "info-ura"}
CLIENT = "openldn-portal"  # what the portal is called at the sign-in provider
PROBED = 60  # seconds between two tries of every address in the directory
_HOSTS = ["127.0.0.1", "localhost"]


def databases(plan: Plan) -> list[str]:
    """The names of the databases of the network: one of each party, so that none sees another's."""
    return [database(member) for member in (*plan.members, *FUNCTIONS)]


def database(member: Member) -> str:
    """The name of this member's database."""
    return f"openldn_{member.key}"


def configure(plan: Plan, dsn_of: DsnOf) -> dict[str, list[str]]:
    """Write every part's settings file; for each part the command that runs it, in start order."""
    commands = {}
    for name, (role, values) in _settings(plan, dsn_of).items():
        text = f"# Settings of the role {role}, written by openldn up\n{toml(values)}"
        write(plan.settings(name), text, 0o600)
        program = [sys.executable, "-m", "openldn", "run", role]
        commands[name] = [*program, "--settings", str(plan.settings(name))]
    for path in plan.settings("*").parent.glob("*.toml"):
        if path.stem not in commands:  # of an earlier version
            path.unlink()
    return commands


def toml(values: Values, table: str = "") -> str:
    """The values as TOML: plain ones first, then each mapping as a table of its own."""
    plain = {k: v for k, v in values.items() if not isinstance(v, Mapping)}
    text = f"\n[{table}]\n" if table else ""
    text += "".join(f"{_key(k)} = {_value(v)}\n" for k, v in plain.items())
    for key, inner in values.items():
        if isinstance(inner, Mapping):
            text += toml(inner, f"{table}.{_key(key)}" if table else _key(key))
    return text


def _value(value: object) -> str:
    """A value as TOML; a mapping inside a list is an inline table."""
    match value:
        case Mapping():
            return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_value, value)) + "]"
        case _:
            return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if name.replace("_", "").isalnum() and name.isascii() else json.dumps(name)


def _settings(plan: Plan, dsn_of: DsnOf) -> dict[str, tuple[str, Values]]:
    """Part -> role and settings, in the order in which they are started."""
    parts: dict[str, tuple[str, Values]] = {
        "simulators": ("simulators", _simulators(plan)),
        "functions": ("functions", _functions(plan, dsn_of)),
        "broker": ("broker", _broker(plan, dsn_of)),
    }
    for member in plan.members:
        parts[member.key] = ("node", _node(plan, member, dsn_of))
    parts["portal"] = ("portal", _portal(plan))
    return parts


def _identity(plan: Plan, member: Member) -> dict[str, str]:
    folder = plan.pki / member.key
    return {
        "certificate": str(folder / "server.pem"),
        "key_file": str(folder / "server.key"),
        "ca": str(plan.pki / "ca.pem"),
    }


def _simulators(plan: Plan) -> Values:
    """What stands in for others: the authority, Zorgplatform, the sign-in provider."""
    write(plan.relying_parties, json.dumps([_relying(plan, m) for m in _on(plan, "zorgplatform")]))
    folder, portal = plan.pki / PLATFORM.key, plan.origin("portal")
    return {
        "authority": {"host": HOST, "port": plan.services["authority"], "folder": str(plan.pki)},
        "zorgplatform": {
            "host": HOST,
            "port": plan.services["zorgplatform"],
            "public": plan.origin("zorgplatform"),
            **_identity(plan, PLATFORM),
            "signing_certificate": str(folder / "signing.pem"),
            "signing_key": str(folder / "signing.key"),
            "relying_parties": str(plan.relying_parties),
        },
        "dezi": {
            "host": HOST,
            "port": plan.services["dezi"],
            "public": plan.origin("dezi"),
            "client_id": CLIENT,
            "client_key": str(plan.pki / OPERATOR.key / "signing.pem"),
            "redirect_uris": [f"{portal}{RETURN}"],
        },
        "parties": _parties(plan),
    }


def _parties(plan: Plan) -> list[Values]:
    """The simulated care providers, each with what its own infrastructure gives it."""
    return [_party(plan, member) for member in plan.parties]


def _party(plan: Plan, member: Member) -> Values:
    folder = plan.pki / member.key
    return {
        "kind": member.infrastructure,
        "key": member.key,
        "name": member.name,
        "ura": member.ura,
        "care": member.kind,
        "provider_type": member.type,
        "receives_from": "rehabilitation" if member.kind == "hospital" else "hospital",
        "host": HOST,
        "port": plan.port(member),
        "public": plan.origin(member.key),
        **_identity(plan, member),
        "issuers": str(plan.pki / "issuing.pem"),
        "signing_certificate": str(folder / "signing.pem"),
        "signing_key": str(folder / "signing.key"),
        "addressing": f"{plan.origin('addressing')}/fhir/R4",
        "addressing_ura": OPERATOR.ura,
        "fetch_hosts": _HOSTS,
        "broker": plan.broker,
        **(_platform(plan, member) if member.infrastructure == "zorgplatform" else {}),
    }


def _platform(plan: Plan, member: Member) -> Values:
    sts = str(plan.pki / PLATFORM.key / "pinned.pem")
    return {
        "sts": {
            "url": plan.sts,
            "ura": PLATFORM.ura,
            "certificate": sts,
            "identifier": identifier(member),
            "audience": plan.origin("zorgplatform"),
        },
        "saml": {plan.sts: sts, plan.broker: str(plan.pki / SAML / "pinned.pem")},
        "organizations": {identifier(m): m.ura for m in _on(plan, "zorgplatform")},
    }


def _on(plan: Plan, infrastructure: str) -> list[Member]:
    everybody = (*plan.members, *plan.parties)
    return [m for m in everybody if m.infrastructure == infrastructure]


def _relying(plan: Plan, member: Member) -> Values:
    """A member as Zorgplatform knows it."""
    folder = plan.pki / member.key
    return {
        "identifier": identifier(member),
        "organization": member.ura,
        "certificates": [str(folder / "signing.pem")],
        "applies_to": [plan.broker, *(_issuer(plan, m) for m in _on(plan, "zorgplatform"))],
        "client": thumbprint(leaf(folder / "server.pem").public_bytes(Encoding.DER)),
    }


def _issuer(plan: Plan, member: Member) -> str:
    return f"{plan.origin(member.key)}/oauth2/{member.ura}"


def identifier(member: Member) -> str:
    """How Zorgplatform names a member: an OID of its AGB code."""
    return f"urn:oid:2.16.840.1.113883.2.4.6.1.{member.agb.lstrip('0')}"


def _broker(plan: Plan, dsn_of: DsnOf) -> Values:
    folder = plan.pki / BROKER.key
    sts = plan.pki / PLATFORM.key / "pinned.pem"
    return {
        "ura": BROKER.ura,
        "host": HOST,
        "port": plan.services["broker"],
        "public": plan.origin("broker"),
        **_identity(plan, BROKER),
        "signing_keys": [str(folder / "signing.key")],
        "saml_certificate": str(plan.pki / SAML / "signing.pem"),
        "saml_key": str(plan.pki / SAML / "signing.key"),
        "dsn": dsn_of(database(BROKER)),
        "addressing": f"{plan.origin('addressing')}/fhir/R4",
        "addressing_ura": OPERATOR.ura,
        "fetch_hosts": _HOSTS,
        "insecure_anchors": str(folder / "anchors.pem"),
        "saml_issuers": {plan.sts: thumbprint(leaf(sts).public_bytes(Encoding.DER))},
        "saml_organizations": {identifier(m): m.ura for m in _on(plan, "zorgplatform")},
    }


def _addressing(plan: Plan, dsn_of: DsnOf) -> Values:
    return {
        "host": HOST,
        "port": plan.addressing,
        "public": plan.origin("addressing"),
        "dsn": dsn_of(database(OPERATOR)),
        "probe_every": PROBED,
        **_identity(plan, OPERATOR),
    }


def _functions(plan: Plan, dsn_of: DsnOf) -> Values:
    """The directory and the other functions; organizations are known by URA here."""
    index = plan.pki / LOCALIZATION.key
    return {
        "addressing": _addressing(plan, dsn_of),
        "localization": {
            **_function(plan, LOCALIZATION, dsn_of),
            "index_key": str(index / "index.key"),
            "tokens": {**RECIPIENT, "keys": [str(index / "signing.key")]},
        },
        "pseudonyms": {
            **_function(plan, PSEUDONYMS, dsn_of),
            "secret_key": str(plan.pki / PSEUDONYMS.key / "secret.key"),
            "recipients": [RECIPIENT["recipient"]],
            "gateway": {"number": "ura"},
        },
        "consent": {
            **_function(plan, CONSENT, dsn_of),
            "store_key": str(plan.pki / CONSENT.key / "store.key"),
            "doors": [CONSENT.ura],
            "notify_hosts": [f"{HOST}:{plan.port(m)}" for m in plan.members],
        },
    }


def _function(plan: Plan, member: Member, dsn_of: DsnOf) -> dict[str, Any]:
    return {
        "host": HOST,
        "port": plan.services[member.key],
        "public": plan.origin(member.key),
        "dsn": dsn_of(database(member)),
        **_identity(plan, member),
    }


def _national(plan: Plan, member: Member) -> Values:
    """The functions as a node asks them."""
    return {
        "localization": {
            "index": f"{plan.origin('localization')}/fhir",
            "ura": LOCALIZATION.ura,
            "source": plan.origin(member.key),
            "oin": member.ura,  # organizations are known by URA here
            "pseudonyms": {
                "url": plan.origin("pseudonyms"),
                "ura": PSEUDONYMS.ura,
                "wire": "ig-ministry",
                **RECIPIENT,
            },
        },
        "consent": {"url": plan.origin("consent"), "ura": CONSENT.ura},
    }


def _node(plan: Plan, member: Member, dsn_of: DsnOf) -> Values:
    folder = plan.pki / member.key
    return {
        "key": member.key,
        "name": member.name,
        "ura": member.ura,
        "kind": member.kind,
        "provider_type": member.type,
        "infrastructure": member.infrastructure,
        "host": HOST,
        "port": plan.port(member),
        "public": plan.origin(member.key),
        "dsn": dsn_of(database(member)),
        **_identity(plan, member),
        "signing_certificate": str(folder / "signing.pem"),
        "signing_key": str(folder / "signing.key"),
        "addressing": f"{plan.origin('addressing')}/fhir/R4",
        "addressing_ura": OPERATOR.ura,
        "issuers": str(plan.pki / "issuing.pem"),
        "dialects": _dialects(plan, member),
        "fetch_hosts": _HOSTS,
        "did_origin": plan.origin(member.key).replace(HOST, "localhost"),
        "broker": plan.broker,
        "broker_ura": BROKER.ura,
        "broker_saml_certificate": str(plan.pki / SAML / "pinned.pem"),
        "national": _national(plan, member),
        "push": {"accept": [kind.name for kind in kinds()]},
        "people": {
            "issuers": [plan.origin("dezi")],
            "key_sets": [f"{plan.origin('dezi')}/dezi/jwks.json"],
            "status_hosts": [plan.origin("dezi").partition("://")[2]],
            "required": False,  # the command line asks for people without one
        },
        **({"sts": _account(plan, member)} if member.infrastructure == "zorgplatform" else {}),
    }


def _dialects(plan: Plan, member: Member) -> list[str]:
    own = DIALECTS[member.infrastructure]
    return sorted({*own, *FOREIGN}) if plan.parties else own


def _account(plan: Plan, member: Member) -> Values:
    return {
        "url": plan.sts,
        "ura": PLATFORM.ura,
        "certificate": str(plan.pki / PLATFORM.key / "pinned.pem"),
        "identifier": identifier(member),
        "audience": plan.origin("zorgplatform"),
        "organizations": {identifier(m): m.ura for m in _on(plan, "zorgplatform")},
    }


def _portal(plan: Plan) -> Values:
    return {
        "host": HOST,
        "port": plan.portal,
        "network": str(plan.network_file),
        "insecure_simulated_operators": True,
        "citizens": {
            "insecure_simulated_citizens": True,
            "people": [
                {
                    "name": f"{JANSEN.given} {JANSEN.family}",
                    "bsn": JANSEN.bsn.value,
                    "born": JANSEN.born.isoformat(),
                }
            ],
        },
        "sign_in": {
            "issuer": plan.origin("dezi"),
            "client_id": CLIENT,
            "key_file": str(plan.pki / OPERATOR.key / "signing.key"),
            "public": plan.origin("portal"),
        },
    }
