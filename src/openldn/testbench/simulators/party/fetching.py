"""How a simulated party fetches: each search or document that a Task names, and counts it."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlencode

from openldn.base.errors import LdnError
from openldn.fhir.identifiers import BSN_SYSTEM
from openldn.fhir.model import Resource
from openldn.testbench.simulators.party.outside import Outside, Peer
from openldn.testbench.simulators.party.records import Pairs

_SEARCH = re.compile(r"[A-Z][A-Za-z]{2,40}(?:/[A-Za-z0-9.-]{1,64})?(?:/?\$[a-z-]+)?")
_NAMED = {"Patient": "identifier", "Coverage": "beneficiary.identifier"}


@dataclass
class Fetched:
    """What came, by type, and how much did not."""

    found: Counter[str] = field(default_factory=Counter)
    failed: int = 0
    reasons: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """How many resources came."""
        return self.found.total()

    def told(self) -> Mapping[str, object]:
        """As its owner sees it."""
        of = ", ".join(f"{kind} {count}" for kind, count in sorted(self.found.items()))
        reasons = "; ".join(dict.fromkeys(self.reasons))
        return {"resources": self.total, "gaps": self.failed, "of": of, "reason": reasons}

    def add(self, bundle: Resource) -> None:
        """Count what is in a Bundle."""
        entries = [e["resource"] for e in bundle.get("entry", ()) if "resource" in e]
        self.found.update(str(r["resourceType"]) for r in entries)


async def fetched(outside: Outside, peer: Peer, task: Resource) -> Fetched:
    """All that the inputs of a Task name; a part that fails hides no other (R14)."""
    told = Fetched()
    for one in task.get("input", ()):
        search = one.get("valueString", "")
        reference = one.get("valueReference", {}).get("reference", "")
        path = search if "get-workflow-task" not in str(one.get("type")) else ""
        if reference.startswith("Composition/"):
            path = f"{reference}/$document"
        if path and _is_search(path):
            await _one(outside, peer, path, told)
    return told


async def searched(outside: Outside, peer: Peer, queries: Iterable[tuple[str, Pairs]]) -> Fetched:
    """All of these searches about the patient of the call, who is named in each."""
    told = Fetched()
    for path, pairs in queries:
        name = _NAMED.get(path.partition("/")[0], "patient.identifier")
        named = [(name, f"{BSN_SYSTEM}|{peer.call.bsn}"), *pairs]
        await _one(outside, peer, f"{path}?{urlencode(named)}", told)
    return told


async def _one(outside: Outside, peer: Peer, path: str, told: Fetched) -> None:
    try:
        told.add(await outside.read(peer, path))
    except LdnError as error:
        told.failed += 1
        told.reasons.append(error.message)


def _is_search(path: str) -> bool:
    """Not an authorization base, which is a text too."""
    return _SEARCH.fullmatch(path.partition("?")[0]) is not None
