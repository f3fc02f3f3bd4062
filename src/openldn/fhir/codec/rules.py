"""The few rules across elements that a receiver cannot do without, for both formats.

Source: invariants ext-1 of Extension and bdl-1 to bdl-5 of Bundle (hl7.org/fhir/R4/bundle.html).
"""

from typing import Any

from openldn.fhir.codec.model import At, Problems

_WITH_REQUEST = frozenset(("batch", "transaction", "history"))
_WITH_RESPONSE = frozenset(("batch-response", "transaction-response", "history"))
_WITH_TOTAL = frozenset(("searchset", "history"))
_FIRST = {"document": "Composition", "message": "MessageHeader"}
_CONTENTS = ("resource", "request", "response")


BOTH_OR_NEITHER = "an extension has either a value or extensions"


def sound_extension(value: dict[str, Any]) -> bool:
    """Whether an extension has a value or extensions of its own: one of the two."""
    nested = "extension" in value
    return (len(value) > nested + ("url" in value) + ("id" in value)) != nested


def check_bundle(bundle: dict[str, Any], at: At, problems: Problems) -> None:
    """The parts of entries that go with this type of Bundle, and only those."""
    kind = bundle.get("type")
    if "total" in bundle and kind not in _WITH_TOTAL:
        problems.add(at, "total", "only a searchset or a history has a total")
    entries = bundle.get("entry")
    if type(kind) is not str or type(entries) is not list:
        return
    for index, entry in enumerate(entries):
        if type(entry) is dict:
            _check_entry(entry, kind, (at, "entry", index), problems)
    if (first := _FIRST.get(kind)) and _type_of(entries[0]) != first:
        problems.add((at, "entry", 0), "resource", f"a {kind} begins with a {first}")


def _check_entry(entry: dict[str, Any], kind: str, at: At, problems: Problems) -> None:
    if not any(part in entry for part in _CONTENTS):
        problems.add(at, "", "an entry has a resource, a request or a response")
    if "search" in entry and kind != "searchset":
        problems.add(at, "search", "only an entry of a searchset has this")
    for part, kinds in (("request", _WITH_REQUEST), ("response", _WITH_RESPONSE)):
        if part in entry and kind not in kinds:
            problems.add(at, part, f"an entry of this type of Bundle has no {part}")
    if "request" not in entry and kind in ("batch", "transaction"):
        problems.add(at, "request", "required in an entry of this type of Bundle")


def _type_of(entry: Any) -> Any:
    resource = entry.get("resource") if type(entry) is dict else None
    return resource.get("resourceType") if type(resource) is dict else None
