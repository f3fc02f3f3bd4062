"""The published profiles: sound FHIR, and the same judgment as the rows that they are made from.

Source: exchange patterns §2.1, §2.3 (NP); FHIR STU3 StructureDefinition.
"""

import io
import tarfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from offers import HOME, HOSPITAL, offer, parties
from typer.testing import CliRunner

from openldn.base.errors import LdnError
from openldn.cli import build
from openldn.fhir.codec import Format, check, decode
from openldn.fhir.model import FhirVersion, Resource
from openldn.patterns.dialects import DIALECTS, read, written
from openldn.patterns.dialects.hearing import Arrived, Known, hear
from openldn.patterns.dialects.package import archive, files, structure_definition
from openldn.patterns.dialects.profiles import (
    NOTIFICATION,
    PROFILES,
    WORKFLOW_TASK,
    Profile,
    problems,
)

each = pytest.mark.parametrize("profile", PROFILES, ids=lambda p: p.name)


def tasks() -> dict[str, Resource]:
    """A Task that fits each profile, as we write it."""
    told = written(offer(), DIALECTS["NP"], parties())
    return {NOTIFICATION.name: told.notification or {}, WORKFLOW_TASK.name: told.task or {}}


def below(values: list[Any], name: str) -> list[Any]:
    """What stands under this name in each of them; a choice by any of its types."""
    found = []
    for value in values:
        if isinstance(value, dict):
            keys = [k for k in value if k == name or (name == "value[x]" and k.startswith("value"))]
            for item in (value[k] for k in keys):
                found += item if isinstance(item, list) else [item]
    return found


def fits(definition: Resource, task: Resource) -> bool:
    """Read the StructureDefinition on its own: cardinality, fixed values, slices by their code."""
    elements = definition["differential"]["element"]
    slices = [e for e in elements if "sliceName" in e]
    plain = [e for e in elements if ":" not in e["id"] and "slicing" not in e]
    return all(_plain(e, task) for e in plain) and all(_slice(s, elements, task) for s in slices)


def _plain(element: Resource, task: Resource) -> bool:
    *above, name = element["path"].split(".")[1:]
    parents: list[Any] = [task]
    for step in above:
        parents = below(parents, step)
    return all(_counted(element, below([p], name)) for p in parents)


def _counted(element: Resource, values: list[Any]) -> bool:
    most = element.get("max", "*")
    if len(values) < element.get("min", 0) or (most != "*" and len(values) > int(most)):
        return False
    fixed = next((v for k, v in element.items() if k.startswith("fixed")), None)
    return fixed is None or all(v == fixed and type(v) is type(fixed) for v in values)


def _slice(slice: Resource, elements: list[Resource], task: Resource) -> bool:
    entries: list[Any] = [task]
    for step in slice["path"].split(".")[1:]:
        entries = below(entries, step)
    parts = [e for e in elements if e["id"].startswith(slice["id"] + ".")]
    keys = [p for p in parts if p["id"].endswith((".system", ".code"))]
    mine = [e for e in entries if _keyed(e, slice, keys)]
    choice = next((p for p in parts if p["id"].endswith("value[x]")), None)
    return _counted(slice, mine) and all(choice is None or _chosen(choice, e) for e in mine)


def _keyed(entry: Any, slice: Resource, keys: list[Resource]) -> bool:
    fixed = {k["id"].rpartition(".")[2]: k.get("fixedUri") or k.get("fixedCode") for k in keys}
    holders = [entry]
    for step in keys[0]["id"].removeprefix(slice["id"]).split(".")[1:-1]:
        holders = below(holders, step)
    return any(all(h.get(n) == v for n, v in fixed.items()) for h in holders)


def _chosen(choice: Resource, entry: Resource) -> bool:
    kind = choice["type"][0]["code"]
    return f"value{kind.capitalize()}" in entry and _counted(choice, below([entry], "value[x]"))


@each
def test_a_profile_is_sound_fhir(profile: Profile) -> None:
    check(structure_definition(profile), FhirVersion.STU3)


@each
def test_what_we_write_fits_the_profile(profile: Profile) -> None:
    task = tasks()[profile.name]

    assert not list(problems(task, profile))
    assert fits(structure_definition(profile), task)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a Task that can be changed."""
    found = [at] if at else []
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, item in items:
        found += places(item, (*at, key))
    return found


def changed(task: Resource, place: tuple[Any, ...], how: str) -> Resource:
    """The same with one thing taken away, doubled, or another value there."""
    task = deepcopy(task)
    *above, key = place
    holder: Any = task
    for step in above:
        holder = holder[step]
    if how == "away":
        del holder[key]
    elif how == "twice" and isinstance(holder, list):
        holder.append(holder[key])
    elif not isinstance(holder[key], (dict, list)):
        holder[key] = not holder[key] if isinstance(holder[key], bool) else "other"
    return task


EXTRA: dict[str, Any] = {
    "for": {"reference": "Patient/1", "identifier": {"system": "x", "value": "y"}},
    "input": [
        {
            "type": {
                "coding": [{"system": "http://fhir.nl/fhir/NamingSystem/TaskParameter", "code": c}]
            },
            "valueString": "x",
        }
        for c in (
            "query-available-resources",
            "read-available-resource",
            "get-workflow-task",
            "authorization-base",
        )
    ],
    "basedOn": [{"reference": "Task/1"}, {"reference": "Task/2"}],
}


@each
@settings(max_examples=300)
@given(data=st.data())
def test_rows_and_profile_judge_each_change_alike(profile: Profile, data: st.DataObject) -> None:
    task = tasks()[profile.name]
    if extra := data.draw(st.sampled_from([None, *EXTRA])):
        task = {**task, extra: EXTRA[extra]}
    for _ in range(data.draw(st.integers(0, 2))):
        place = data.draw(st.sampled_from(places(task)))
        task = changed(task, place, data.draw(st.sampled_from(["away", "twice", "other"])))

    assert fits(structure_definition(profile), task) is not any(problems(task, profile))


@each
def test_each_row_of_a_profile_can_be_broken(profile: Profile) -> None:
    task = tasks()[profile.name]
    for element in profile.elements:
        if element.least:
            *above, name = element.path.split(".")
            broken = deepcopy(task)
            holder = broken
            for step in above:
                holder = holder[step][0] if isinstance(holder[step], list) else holder[step]
            del holder[name]
            assert any(p.where == f"Task.{element.path}" for p in problems(broken, profile))


def test_a_notification_of_nuts_that_does_not_fit_is_refused_and_named() -> None:
    task = tasks()[NOTIFICATION.name]
    known = parties(placer=HOSPITAL, fulfiller=HOME)
    hear(Arrived("POST", "Task", body=task), Known("NP"), known)
    for name, where in (
        ("groupIdentifier", "Task.groupIdentifier"),
        ("input", "Task.input:getTask"),
    ):
        broken = {k: v for k, v in task.items() if k != name}
        with pytest.raises(LdnError) as told:
            hear(Arrived("POST", "Task", body=broken), Known("NP"), known)
        assert (told.value.status, told.value.where) == (422, where)


def test_a_workflow_task_of_nuts_that_does_not_fit_is_not_read() -> None:
    told = written(offer(), DIALECTS["NP"], parties())
    task = {**(told.task or {}), "for": {"identifier": {"value": "1"}}}
    with pytest.raises(LdnError) as refused:
        read(told.notification, task, DIALECTS["NP"], parties())
    assert refused.value.where == "Task.for.reference"


def test_we_do_not_write_to_nuts_what_does_not_fit() -> None:
    with pytest.raises(LdnError) as refused:
        written(offer(patient=""), DIALECTS["NP"], parties())
    assert refused.value.where == "Task.for"


def test_the_package_is_one_file_that_is_always_the_same(tmp_path: Path) -> None:
    path = tmp_path / "package.tgz"
    result = CliRunner().invoke(build(("package", "pki")), ["package", "--out", str(path)])

    assert result.exit_code == 0
    assert path.read_bytes() == archive()
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as tar:
        assert tar.getnames() == list(files())
        for name in tar.getnames():
            member = tar.extractfile(name)
            assert member is not None
            if "StructureDefinition" in name:
                decode(member.read(), Format.JSON, FhirVersion.STU3)


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    result = CliRunner().invoke(build(("package", "pki")), ["package", "--out", str(tmp_path)])
    assert isinstance(result.exception, LdnError)
