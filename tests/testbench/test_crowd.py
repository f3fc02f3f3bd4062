"""The generator of patients at many organizations, and what reconciling makes of them."""

from openldn.fhir.codec import check, dump
from openldn.fhir.model import FhirVersion
from openldn.testbench.synth.crowd import crowd, parts
from openldn.testbench.synth.links import Links, reconciled


def test_the_same_seed_gives_the_same_patient() -> None:
    one, other = crowd(80, 4, 3), crowd(80, 4, 3)

    assert dump(one.answers) == dump(other.answers) and one.truth == other.truth
    assert dump(crowd(80, 4, 4).answers) != dump(one.answers)


def test_what_is_generated_is_valid_fhir() -> None:
    for answer in crowd(200, 3, 1).answers.values():
        check(answer, FhirVersion.R4)


def test_on_generated_truth_links_are_exact_and_nothing_is_unsafe() -> None:
    made = crowd(900, 8, 5)

    found = Links(reconciled(made))

    true = set(parts(made.truth))
    assert found.same <= true and len(found.same) >= 0.99 * len(true)
    likely = set(map(frozenset, made.truth.possible))
    assert len(found.possible & likely) >= 0.95 * len(found.possible) > 0
    assert found.unsafe(made) == 0
