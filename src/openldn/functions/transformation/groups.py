"""Groups that are built differently in each version."""

from __future__ import annotations

from typing import Any

from openldn.fhir.model import FhirVersion
from openldn.functions.transformation.keeping import FILLER, url_of
from openldn.functions.transformation.plan import Object
from openldn.functions.transformation.run import At, Run
from openldn.functions.transformation.special import Special, Spot, apply

_SCOPES = "http://terminology.hl7.org/CodeSystem/consentscope"
_DIRECTIVES = {  # category of the consent -> its scope
    "11341000146107": "adr",
    "acd": "adr",
    "11291000146105": "treatment",
}
_CLASSES = {n.lower(): n for n in ("group", "subGroup", "plan", "subPlan", "class", "subClass")}
_CLASS_SYSTEM = "http://terminology.hl7.org/CodeSystem/coverage-class"
_VERIFICATION = "http://nictiz.nl/fhir/StructureDefinition/zib-TreatmentDirective-Verification"
_PARTS = (  # element of R4, part of the extension, its value
    ("verified", "Verified", "valueBoolean"),
    ("verifiedWith", "VerifiedWith", "valueReference"),
    ("verificationDate", "VerificationDate", "valueDateTime"),
)
_RELATIONS = {"has-member": "hasMember", "derived-from": "derivedFrom"}


def _scope(value: Object) -> Object:
    codings = [c for each in value.get("category", ()) for c in each.get("coding", ())]
    found = next((_DIRECTIVES[c["code"]] for c in codings if c.get("code") in _DIRECTIVES), None)
    return {"coding": [{"system": _SCOPES, "code": found or "patient-privacy"}]}


def scope(spot: Spot) -> None:
    """R4 demands a scope of a consent; the category tells which."""
    url = url_of(FhirVersion.R4, "Consent.scope")
    if all(e["url"] != url for e in spot.value.get("extension", ())):
        spot.out["scope"] = _scope(spot.value)


def unscope(spot: Spot) -> None:
    """A scope that the category does not tell is kept."""
    if "scope" in spot.value:
        if spot.value["scope"] == _scope(spot.value):
            spot.carry("scope")
        else:
            spot.keep("scope")


def _verified(extension: Any, owner: Object, at: At, run: Run, out: Object) -> None:
    """Who verified a directive: an extension of the zib in STU3, an element in R4."""
    made: Object = {}
    for index, part in enumerate(extension.get("extension", ())):
        here = (at, "extension", index)
        found = next((p for p in _PARTS if p[1] == part["url"]), None)
        if found is None or not set(part) <= {"url", found[2], "_" + found[2]}:
            run.lose(here)
        else:
            _moved(part, (found[2], found[0]), here, run, made)
            if run.traced:
                run.carry((here, "url", -1))
    if made:
        if "verified" not in made and "_verified" not in made:
            made["_verified"] = FILLER
        out.setdefault("verification", []).append(made)
    if run.traced:
        run.carry((at, "url", -1))


def _moved(given: Object, names: tuple[str, str], at: At, run: Run, out: Object) -> None:
    """One part, with its side object, from the first of these names to the second."""
    one, two = names
    if one in given:
        out[two] = given[one]
        if isinstance(given[one], dict):
            out[two] = apply(run, "Reference", given[one], (at, one, -1))
        elif run.traced:
            run.carry((at, one, -1))
    if "_" + one in given:
        out["_" + two] = apply(run, "Element", given["_" + one], (at, "_" + one, -1))


def unverified(spot: Spot) -> None:
    """The verification of R4 as the extension of the zib."""
    for index, given in enumerate(spot.value.get("verification", ())):
        here = (spot.at, "verification", index)
        parts = []
        for name, url, kind in _PARTS:
            part: Object = {"url": url}
            if name == "verified" and given.get("_verified") == FILLER and len(given) > 1:
                continue  # R4 demanded it beside the others
            _moved(given, (name, kind), here, spot.run, part)
            if len(part) > 1:
                parts.append(part)
        for key in set(given) & {"id", "extension", "modifierExtension"}:
            spot.run.lose((here, key, -1))
        if parts:
            made = {"url": _VERIFICATION, "extension": parts}
            spot.out.setdefault("extension", []).append(made)


def classes(spot: Spot) -> None:
    """STU3 has an element for each class of a cover, R4 a list."""
    given, here = spot.value.get("grouping", {}), (spot.at, "grouping", -1)
    used = set()
    for code, name in _CLASSES.items():
        if name not in given:
            continue
        coding = {"system": _CLASS_SYSTEM, "code": code}
        made: Object = {"type": {"coding": [coding]}, "value": given[name]}
        if name + "Display" in given:
            made["name"] = given[name + "Display"]
        spot.out.setdefault("class", []).append(made)
        used |= {name, name + "Display"} & set(given)
    for key in given:
        if key not in used:
            spot.run.lose((here, key, -1), "R4 has no place for it without the class itself")
        elif spot.run.traced:
            spot.run.carry((here, key, -1))


def unclasses(spot: Spot) -> None:
    """The list of R4 as elements, as far as STU3 has one for the class."""
    group: Object = {}
    for index, given in enumerate(spot.value.get("class", ())):
        here = (spot.at, "class", index)
        name = _class_name(given)
        if not name or name in group:
            spot.run.lose(here, "STU3 has no element for this class")
            continue
        group[name] = given["value"]
        if "name" in given:
            group[name + "Display"] = given["name"]
        if spot.run.traced:
            spot.run.carry(here)
    if group:
        spot.out["grouping"] = group


def _class_name(given: Object) -> str:
    """The STU3 element of a class that says nothing that STU3 has no place for."""
    codings = given["type"].get("coding", ())
    if set(given["type"]) != {"coding"} or len(codings) != 1 or "value" not in given:
        return ""
    plain = set(given) <= {"type", "value", "name"} and set(codings[0]) == {"system", "code"}
    known = plain and codings[0]["system"] == _CLASS_SYSTEM
    return _CLASSES.get(codings[0]["code"], "") if known else ""


def related(spot: Spot) -> None:
    """STU3 tells with a code how an observation is related, R4 with an element for each."""
    for index, given in enumerate(spot.value.get("related", ())):
        here = (spot.at, "related", index)
        name = _RELATIONS.get(given.get("type", ""))
        if name is None:
            spot.run.lose(here, "R4 knows members and sources only")
            continue
        made = apply(spot.run, "Reference", given.get("target", {}), (here, "target", -1))
        if spot.run.traced:
            spot.run.carry((here, "type", -1))
        for key in set(given) - {"type", "target"}:
            spot.run.lose((here, key, -1))
        if made:
            spot.out.setdefault(name, []).append(made)


def unrelated(spot: Spot) -> None:
    """Members and sources as related observations."""
    for code, name in _RELATIONS.items():
        for index, given in enumerate(spot.value.get(name, ())):
            made = apply(spot.run, "Reference", given, (spot.at, name, index))
            if made:
                spot.out.setdefault("related", []).append({"type": code, "target": made})


def dated(spot: Spot) -> None:
    """STU3 dates each recommendation, R4 the whole: the latest; each is kept at its own place."""
    dates = [r["date"] for r in spot.value.get("recommendation", ()) if "date" in r]
    if dates:
        spot.out["date"] = max(dates)


def undated(spot: Spot) -> None:
    """The date of the whole goes to the recommendations that have none."""
    spot.carry("date")
    spot.lose("_date", "STU3 dates each recommendation")


def _each_dated(value: Object, out: Object) -> None:
    """A recommendation without a date has that of the whole."""
    url = url_of(FhirVersion.STU3, "ImmunizationRecommendation.recommendation.date")
    for each in out.get("recommendation", ()):
        if each.get("_date") == FILLER and "date" in value:
            del each["_date"]
            each["date"] = value["date"]
        same = {"url": url, "valueDateTime": out.get("date")}
        if same in each.get("extension", ()):
            each["extension"].remove(same)
            if not each["extension"]:
                del each["extension"]


def condition(spot: Spot) -> None:
    """STU3 asks whether there is an answer, or which; R4 has an operator for it."""
    spot.out["operator"] = "exists" if "hasAnswer" in spot.value else "="
    if "hasAnswer" in spot.value:
        spot.out["answerBoolean"] = spot.value["hasAnswer"]
        spot.carry("hasAnswer")
    elif "answerBoolean" in spot.value:
        spot.out["answerBoolean"] = spot.value["answerBoolean"]
        spot.carry("answerBoolean")


def uncondition(spot: Spot) -> None:
    """The operator of R4, as far as STU3 can ask it."""
    operator = spot.value.get("operator")
    if operator not in ("exists", "="):
        spot.refuse("operator", "STU3 compares for equality only")
    if "answerBoolean" in spot.value:
        name = "hasAnswer" if operator == "exists" else "answerBoolean"
        spot.out[name] = spot.value["answerBoolean"]
    spot.carry("operator", "answerBoolean")


def behavior(spot: Spot) -> None:
    """In STU3 one of several conditions is enough."""
    if len(spot.value.get("enableWhen", ())) > 1:
        spot.out["enableBehavior"] = "any"


def unbehavior(spot: Spot) -> None:
    """R4 can demand all conditions, which STU3 cannot."""
    several = len(spot.value.get("enableWhen", ())) > 1
    if spot.value.get("enableBehavior") == "all" and several:
        spot.refuse("enableBehavior", "STU3 cannot demand all conditions at once")
    spot.carry("enableBehavior")


GROUPS: dict[str, Special] = {
    "consent scope": Special((), ("scope",), scope, unscope),
    "coverage class": Special(("grouping",), ("class",), classes, unclasses),
    "enable behavior": Special((), ("enableBehavior",), behavior, unbehavior),
    "enable when": Special(
        ("hasAnswer", "answerBoolean"), ("operator", "answerBoolean"), condition, uncondition
    ),
    "recommendation date": Special((), ("date",), dated, undated, after=_each_dated),
    "related": Special(("related",), tuple(_RELATIONS.values()), related, unrelated),
    "verification": Special(
        (), ("verification",), None, unverified, moved=((_VERIFICATION + " ", _verified),)
    ),
}
