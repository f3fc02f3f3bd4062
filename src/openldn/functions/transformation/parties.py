"""Who asks, who does, who vouches: named in another way in each version."""

from __future__ import annotations

from typing import Any

from openldn.fhir.model import FhirVersion
from openldn.functions.transformation.extensions import one
from openldn.functions.transformation.keeping import url_of
from openldn.functions.transformation.plan import Object
from openldn.functions.transformation.run import At, Run
from openldn.functions.transformation.special import Special, Spot, apply

_SERVICE = (
    "http://nuts-foundation.github.io/nl-generic-functions-ig/StructureDefinition/"
    "task-stu3-healthcareservice"
)
_URI = "urn:ietf:rfc:3986"


def _whole(spot: Spot) -> str:
    """The extension that keeps what stood at the group of STU3 itself."""
    name = spot.plan.source.name if spot.run.source is FhirVersion.STU3 else spot.plan.target.name
    return url_of(FhirVersion.STU3, f"{name}.requester")


def requester(spot: Spot) -> None:
    """STU3 tells agent and the organization it acts for; R4 has the agent alone.

    The organization stands then in an extension of the reference, and comes back from there.
    """
    group = spot.value.get("requester")
    if group is None:
        return
    here, whole, run = (spot.at, "requester", -1), _whole(spot), spot.run
    made: Object = apply(run, "Reference", group.get("agent", {}), (here, "agent", -1))
    added: list[Object] = []
    if "onBehalfOf" in group:
        url, place = f"{whole}.onBehalfOf", (here, "onBehalfOf", -1)
        added.append(
            {"url": url, "valueReference": apply(run, "Reference", group[place[1]], place)}
        )
        run.lose(place, "R4 has the agent alone", url)
    if "extension" in group:
        held = [one(e, (here, "extension", n), run) for n, e in enumerate(group["extension"])]
        added.append({"url": whole, "extension": held})
    for key in set(group) - {"agent", "onBehalfOf", "extension"}:
        run.lose((here, key, -1))
    if added:
        made["extension"] = [*made.get("extension", ()), *added]
    if made:
        spot.out["requester"] = made


def unrequester(spot: Spot) -> None:
    """The agent of R4 as a group, with what an extension carries back."""
    if "requester" not in spot.value:
        return
    here, whole = (spot.at, "requester", -1), _whole(spot)
    given = dict(spot.value["requester"])
    group: Object = {}
    rest = []
    for index, extension in enumerate(given.pop("extension", ())):
        place = (here, "extension", index)
        if extension["url"] == f"{whole}.onBehalfOf" and "valueReference" in extension:
            inner = (place, "valueReference", -1)
            group["onBehalfOf"] = apply(spot.run, "Reference", extension[inner[1]], inner)
        elif extension["url"] == whole:
            numbered = enumerate(extension.get("extension", ()))
            group["extension"] = [one(e, (place, "extension", n), spot.run) for n, e in numbered]
        else:
            rest.append(extension)
            continue
        if spot.run.traced:
            spot.run.carry((place, "url", -1))
    if rest:
        given["extension"] = rest
    agent = apply(spot.run, "Reference", given, here)
    spot.out["requester"] = {"agent": agent or {"display": "unknown"}, **group}


def who(spot: Spot) -> None:
    """An agent or entity that STU3 may name by URI or identifier is a Reference in R4."""
    name, out = spot.row.stu3, spot.out
    if name + "Reference" in spot.value:
        out.update(_named(name, spot.apply("Reference", name + "Reference")))
    elif name + "Uri" in spot.value:
        out[name] = {"identifier": {"system": _URI, "value": spot.value[name + "Uri"]}}
        spot.carry(name + "Uri")
    elif name + "Identifier" in spot.value:
        out[name] = {"identifier": spot.apply("Identifier", name + "Identifier")}
    spot.lose(f"_{name}Uri", "R4 has a reference here")


def _named(name: str, made: Object) -> Object:
    return {name: made} if made else {}


def unwho(spot: Spot) -> None:
    """The Reference of R4 in the way STU3 would name it."""
    name = spot.row.stu3
    given = spot.value.get(name)
    if given is None:
        return
    held: Object = given.get("identifier", {}) if set(given) == {"identifier"} else {}
    if held.get("system") == _URI and set(held) == {"system", "value"}:
        spot.out[name + "Uri"] = held["value"]
        spot.carry(name)
    elif held and name == "what":
        place = ((spot.at, name, -1), "identifier", -1)
        spot.out["whatIdentifier"] = apply(spot.run, "Identifier", held, place)
    else:
        spot.out.update(_named(name + "Reference", spot.apply("Reference", name)))


def owner(spot: Spot) -> None:
    """Who does a task may be a HealthcareService in R4; STU3 has an extension for it.

    Source: TA Routing 1.3, routing of STU3 Tasks.
    """
    if "owner" not in spot.value:
        return
    if any(e["url"] == _SERVICE for e in spot.value.get("extension", ())):
        spot.keep("owner")
    else:
        spot.out["owner"] = spot.apply("Reference", "owner")


def unowner(spot: Spot) -> None:
    """The owner of R4 as STU3 names it."""
    if "owner" not in spot.value:
        return
    made = spot.apply("Reference", "owner")
    if "HealthcareService/" in spot.value["owner"].get("reference", ""):
        extension = {"url": _SERVICE, "valueReference": made}
        spot.out.setdefault("extension", []).append(extension)
    elif made:
        spot.out["owner"] = made


def _served(extension: Any, owner: Object, at: At, run: Run, out: Object) -> None:
    out["owner"] = apply(run, "Reference", extension, (at, "valueReference", -1))


PARTIES: dict[str, Special] = {
    "requester": Special(("requester",), ("requester",), requester, unrequester),
    "task owner": Special(
        ("owner",), ("owner",), owner, unowner, moved=((_SERVICE + " valueReference", _served),)
    ),
    "who": Special(("{row}Uri", "{row}Reference", "{row}Identifier"), ("{row}",), who, unwho),
}
