"""The parts of the network as settings files, and the certificates they need."""

import json
import sys
from collections.abc import Callable, Mapping

from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Ura
from openldn.testbench.laptop.ground import write
from openldn.testbench.laptop.plan import HOST, Plan
from openldn.testbench.members import OPERATOR, Member
from openldn.trust.certificates.issue import (
    Subject,
    Term,
    create_authority,
    issue_server,
    issue_signing,
)

DsnOf = Callable[[str], str]  # name of a database -> its DSN
Values = Mapping[str, str | int | bool]


def certify(plan: Plan, clock: Clock) -> None:
    """Make the test authority and each part's certificates, where they are not there yet."""
    create_authority(plan.pki, clock)
    term = Term(clock)
    for member in (*plan.members, OPERATOR):
        folder = plan.pki / member.key
        subject = Subject(Ura.parse(member.ura), member.name, agb=member.agb)
        if not (folder / "server.pem").exists():
            issue_server(folder, subject, term)
        if not (folder / "signing.pem").exists():
            issue_signing(folder, subject, term)


def databases(plan: Plan) -> list[str]:
    """The names of the databases of the network: one of each party, so that none sees another's."""
    return [database(member) for member in (*plan.members, OPERATOR)]


def database(member: Member) -> str:
    """The name of this member's database."""
    return f"openldn_{member.key}"


def configure(plan: Plan, dsn_of: DsnOf) -> dict[str, list[str]]:
    """Write every part's settings file; for each part the command that runs it, in start order."""
    commands = {}
    for name, (role, values) in _settings(plan, dsn_of).items():
        lines = [
            f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()
        ]
        text = f"# Settings of the role {role}, written by openldn up\n" + "\n".join(lines) + "\n"
        write(plan.settings(name), text, 0o600)
        program = [sys.executable, "-m", "openldn", "run", role]
        commands[name] = [*program, "--settings", str(plan.settings(name))]
    return commands


def _settings(plan: Plan, dsn_of: DsnOf) -> dict[str, tuple[str, Values]]:
    """Part -> role and settings, in the order in which they are started."""
    parts: dict[str, tuple[str, Values]] = {"addressing": ("addressing", _addressing(plan, dsn_of))}
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


def _addressing(plan: Plan, dsn_of: DsnOf) -> Values:
    return {
        "host": HOST,
        "port": plan.addressing,
        "public": plan.origin("addressing"),
        "dsn": dsn_of(database(OPERATOR)),
        **_identity(plan, OPERATOR),
    }


def _node(plan: Plan, member: Member, dsn_of: DsnOf) -> Values:
    folder = plan.pki / member.key
    return {
        "key": member.key,
        "name": member.name,
        "ura": member.ura,
        "kind": member.kind,
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
        "insecure_presumed_consent": True,
    }


def _portal(plan: Plan) -> Values:
    return {
        "host": HOST,
        "port": plan.portal,
        "network": str(plan.network_file),
        "insecure_simulated_operators": True,
    }
