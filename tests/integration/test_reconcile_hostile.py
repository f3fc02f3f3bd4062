"""Whatever a source sends, reconciling answers, and says nothing of the patient's number."""

import copy
import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from integration.reconcile_cases import BSN, QUESTION
from integration.test_reconcile_policy import MAPS, SCENARIOS

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import check, dump
from openldn.fhir.model import FhirVersion
from openldn.integration.reconcile import Source, reconcile
from openldn.integration.reconcile.codes import Codes

JUNK: list[Any] = [
    *(None, 1, True, "", "x", [], {}, [{}], [None], "0001-01-01", {"coding": [{}]}),
    {"value": "x"},
]


def spoil(value: Any, chance: random.Random) -> None:
    """Put something odd somewhere in a value."""
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not keys:
        return
    key = chance.choice(keys)
    if isinstance(value[key], dict | list) and chance.random() < 0.7:
        spoil(value[key], chance)
    else:
        value[key] = copy.deepcopy(chance.choice(JUNK))


def test_odd_answers_break_nothing() -> None:
    names = list(SCENARIOS)
    for seed in range(400):
        chance = random.Random(seed)
        sent = [
            Source(each.ura, copy.deepcopy(each.bundle)) for each in SCENARIOS[chance.choice(names)]
        ]
        for each in sent:
            for _ in range(chance.randint(1, 3)):
                spoil(each.bundle, chance)

        made = reconcile(sent, QUESTION, maps=MAPS)

        outcome = made["entry"][-1]["resource"]
        check(outcome, FhirVersion.R4)
        assert BSN not in dump(outcome).decode()


_ANY = st.recursive(
    st.none() | st.booleans() | st.text(max_size=4) | st.just("ConceptMap"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["resourceType", "group", "element", "target", "code", "entry", "x"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(_ANY | st.builds(lambda group: {"resourceType": "ConceptMap", "group": group}, _ANY))
def test_whatever_is_given_as_a_table_of_codes_is_read_or_refused_in_words(table: Any) -> None:
    try:
        Codes([table])
    except LdnError as error:
        assert error.issue is Issue.INVALID and "table of codes" in error.message
