"""The outcomes of the published policies in Rego, evaluated by regopy.

The Rego files beside this module are our own text of what generic functions §3.5 describes; they
are the yardstick for our tables, never part of a decision.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from openldn.functions.authorization.document import document
from openldn.functions.authorization.policies import POLICIES, Policy
from openldn.functions.authorization.question import Matter
from openldn.functions.authorization.tables import Capability

FOLDER = Path(__file__).parent / "rego"
QUERIES = {
    "bgz": "data.openldn.oracle.bgz.allow",
    "eoverdracht_sender": "data.openldn.oracle.eoverdracht.sender",
    "eoverdracht_receiver": "data.openldn.oracle.eoverdracht.receiver",
    "pzp_gf": "data.openldn.oracle.others.pzp_gf",
    "medicatieoverdracht_gf": "data.openldn.oracle.others.medicatieoverdracht_gf",
    "mcsd_query": "data.openldn.oracle.others.mcsd",
    "mcsd_update": "data.openldn.oracle.others.mcsd",
}


@dataclass
class Oracle:
    """The files, compiled once for each policy; needs the extra `rego`."""

    runs: Any = field(default=None, repr=False)
    compiled: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        from regopy import Interpreter  # type: ignore[import-untyped]

        self.runs = Interpreter()
        for policy, query in QUERIES.items():
            building = Interpreter()
            for path in sorted(FOLDER.glob("*.rego")):
                building.add_module(path.stem, path.read_text(encoding="utf-8"))
            building.add_data({"statements": statements()})
            # bound to a name, because a bare expression that is false counts as no answer at all
            self.compiled[policy] = building.build(f"v := {query}")

    def allows(self, asked: Mapping[str, Any]) -> bool:
        """What the policy named in the document says of it."""
        return self.decides(asked["policy"], json.dumps(asked))

    def decides(self, policy: str, asked: str) -> bool:
        """The same of a document that was written as JSON already."""
        self.runs.set_input_term(asked)
        told: dict[str, Any] = json.loads(str(self.runs.query_bundle(self.compiled[policy])))
        allowed = told["bindings"]["v"]
        assert isinstance(allowed, bool)  # noqa: S101  (every rule of ours has a default)
        return allowed


def asked_of(matter: Matter, policy: Policy) -> dict[str, Any]:
    """The document of a matter, with the policy that is asked; what we found out is left out."""
    given = document(matter, policy)
    given["action"]["fhir_rest"].pop("capability_checked", None)
    return {"policy": policy.name, **given}


def statements() -> dict[str, Any]:
    """The capabilities of each policy in the form of a CapabilityStatement."""
    return {
        name: {"rest": [{"resource": [_resource(t, c) for t, c in policy.capabilities.items()]}]}
        for name, policy in POLICIES.items()
        if policy.capabilities is not None
    }


def _resource(type_: str, capability: Capability) -> dict[str, Any]:
    return {
        "type": type_,
        "interaction": [{"code": c} for c in sorted(capability.interactions)],
        "searchParam": [{"name": n} for n in sorted(capability.search)],
        "searchInclude": sorted(capability.include),
        "searchRevInclude": sorted(capability.revinclude),
        "operation": [{"name": n.removeprefix("$")} for n in sorted(capability.operations)],
    }
