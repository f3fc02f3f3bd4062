"""Status elements that are divided differently, and claims that hold for the source only."""

from __future__ import annotations

from openldn.fhir.codec.tables import Table
from openldn.fhir.model import FhirVersion
from openldn.functions.transformation.maps import vocabulary
from openldn.functions.transformation.plan import Object
from openldn.functions.transformation.special import Special, Spot

OMITTED = "-"  # in a table of codes: the element is left out, and kept as an extension
_TAKEN = {"active": "y", "completed": "y", "not-taken": "n"}  # what a status implies
_ANOTHER = "the code is another one here"
_GOALS = {  # STU3 status -> lifecycle and achievement of R4
    "proposed": ("proposed", ""),
    "accepted": ("accepted", ""),
    "planned": ("planned", ""),
    "in-progress": ("active", ""),
    "on-target": ("active", "improving"),
    "ahead-of-target": ("active", "improving"),
    "behind-target": ("active", "not-achieved"),
    "sustaining": ("active", "sustaining"),
    "achieved": ("completed", "achieved"),
    "on-hold": ("on-hold", ""),
    "cancelled": ("cancelled", ""),
    "entered-in-error": ("entered-in-error", ""),
    "rejected": ("rejected", ""),
}
_ACHIEVEMENT = "http://terminology.hl7.org/CodeSystem/goal-achievement"


def _recode(spot: Spot, key: str) -> None:
    """A code that differs; where several lead to one, the original is kept beside it."""
    known, mirror = spot.codes
    code = spot.value.get(key)
    if code is not None:
        before = spot.kept(key)
        found = known.get(code, code)
        if before is not None and mirror.get(before, before) == code:
            found = before
        if not found:
            spot.refuse(key, "this code has no counterpart in the other version")
            return
        if found == OMITTED:
            spot.keep(key)
            return
        spot.out[key] = found
        if mirror.get(found, found) != code and before is None:
            spot.keep(key)
        spot.carry(key)
    spot.side(key)


def recode(spot: Spot) -> None:
    """The row's element, by the row's table."""
    _recode(spot, spot.row.stu3)


def denied(spot: Spot) -> None:
    """A status and a flag that it was not done are one status in R4 (the row's `system`)."""
    flag, status = spot.row.stu3, spot.value.get("status")
    if spot.value.get(flag) and status != "entered-in-error":
        spot.out["status"] = spot.row.system
        spot.carry(flag, "status")
        if status is not None and status != _done(spot.plan.source):
            spot.keep("status")
        spot.lose("_status", _ANOTHER)
    else:
        _recode(spot, "status")
        if spot.value.get(flag):
            spot.keep(flag)
        else:
            spot.carry(flag)
    spot.lose("_" + flag, "R4 has no such flag")


def _done(table: Table) -> str:
    """The status of STU3 that goes with the flag: none where no status is demanded."""
    return "completed" if any(element == "status" for element, _ in table.required) else ""


def undenied(spot: Spot) -> None:
    """The status of R4 as a status and a flag."""
    flag = spot.row.stu3
    if spot.value.get("status") == spot.row.system:
        spot.out[flag] = True
        status = spot.kept("status") or _done(spot.plan.target)
        if status:
            spot.out["status"] = status
        spot.carry("status")
        spot.lose("_status", _ANOTHER)
        return
    _recode(spot, "status")
    if any(element == flag for element, _ in spot.plan.target.required):
        spot.out[flag] = False


def took(spot: Spot) -> None:
    """`taken` is in R4 a status of its own; what the status does not imply is kept."""
    status, said = spot.value.get("status"), spot.value.get("taken")
    if said == "n" and status != "entered-in-error":
        spot.out["status"] = "not-taken"
        spot.carry("taken", "status")
        if status != "active":
            spot.keep("status")
        spot.lose("_status", _ANOTHER)
    else:
        _recode(spot, "status")
        if said is not None and said != _TAKEN.get(status or "", "unk"):
            spot.keep("taken")
        else:
            spot.carry("taken")
    spot.lose("_taken", "R4 has no such element")


def untook(spot: Spot) -> None:
    """The status of R4 as a status and `taken`."""
    status = spot.value.get("status")
    if status == "not-taken":
        spot.out["status"], spot.out["taken"] = spot.kept("status") or "active", "n"
        spot.carry("status")
        spot.lose("_status", _ANOTHER)
        return
    _recode(spot, "status")
    if spot.kept("taken") is None:
        spot.out["taken"] = _TAKEN.get(status or "", "unk")


def aim(spot: Spot) -> None:
    """The status of a goal as a lifecycle and an achievement."""
    status = spot.value.get("status")
    if status is not None:
        life, reached = _GOALS.get(status, ("", ""))
        if not life:
            spot.refuse("status", "this is no status of a goal")
            return
        spot.out["lifecycleStatus"] = life
        if reached:
            spot.out["achievementStatus"] = _achieved(reached)
        if _aim(spot.out) != status:
            spot.keep("status")
        spot.carry("status")
    spot.side("status", "lifecycleStatus")


def unaim(spot: Spot) -> None:
    """A lifecycle and an achievement as the status of a goal."""
    life = spot.value.get("lifecycleStatus")
    if life is not None:
        before = spot.kept("status")
        same = before is not None and _GOALS.get(before, ("",))[0] == life
        status = before if same else _aim(spot.value)
        if status:
            spot.out["status"] = status
            spot.carry("lifecycleStatus")
        else:
            spot.keep("lifecycleStatus")
    spot.side("lifecycleStatus", "status")
    if "achievementStatus" in spot.value:
        _, reached = _GOALS.get(spot.out.get("status", ""), ("", ""))
        if spot.value["achievementStatus"] == _achieved(reached):
            spot.carry("achievementStatus")
        else:
            spot.keep("achievementStatus")


def _achieved(code: str) -> Object:
    return {"coding": [{"system": _ACHIEVEMENT, "code": code}]}


def _aim(value: Object) -> str | None:
    """The STU3 status of an R4 goal; None for one that is done without being achieved."""
    life = value["lifecycleStatus"]
    codings = value.get("achievementStatus", {}).get("coding", ())
    reached = [c.get("code") for c in codings if c.get("system") == _ACHIEVEMENT]
    wanted = [(life, reached[0])] if reached else []
    pairs = {pair: status for status, pair in reversed(_GOALS.items())}
    return next((pairs[p] for p in (*wanted, (life, "")) if p in pairs), None)


def profiles(spot: Spot) -> None:
    """`meta.profile`: the counterpart where there is one; a claim about the source is dropped."""
    words, forward = vocabulary(), spot.run.source is FhirVersion.STU3
    known = words.profiles if forward else {v: k for k, v in words.profiles.items()}
    narrowed = words.narrowed if forward else {}
    made: list[str] = []
    for index, url in enumerate(spot.value.get("profile", ())):
        here = (spot.at, "profile", index)
        found = known.get(url) or narrowed.get(url)
        if found is None:
            text = "no profile of the other version is known as its counterpart"
            spot.run.lose(here, text)
        elif url not in known:
            spot.run.lose(here, "its counterpart is that of a more general profile")
        elif spot.run.traced:
            spot.run.carry(here)
        if found is not None and found not in made:
            made.append(found)
    if made:
        spot.out["profile"] = made
    spot.lose("_profile", "belongs to a claim about the source")


def unsigned(spot: Spot) -> None:
    """A signature holds for the bytes of the source: it stays there, and the output has none."""
    spot.lose(spot.row.stu3, "a signature holds for the source only; see the Provenance")


STATUSES: dict[str, Special] = {
    "goal status": Special(("status",), ("lifecycleStatus", "achievementStatus"), aim, unaim),
    "not done": Special(("status", "{row}"), ("status",), denied, undenied),
    "profiles": Special(("profile",), ("profile",), profiles, profiles),
    "recode": Special(("{row}",), ("{row}",), recode, recode),
    "signature": Special(("{row}",), ("{row}",), unsigned, unsigned),
    "taken": Special(("status", "taken"), ("status",), took, untook),
}
