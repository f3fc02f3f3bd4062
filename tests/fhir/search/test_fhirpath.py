"""The part of FHIRPath that search parameters use."""

import pytest

from openldn.base.errors import LdnError
from openldn.fhir.search.fhirpath import compiled, evaluate

PATIENT = {
    "resourceType": "Patient",
    "id": "p",
    "active": True,
    "deceasedDateTime": "2020",
    "name": [{"family": "A", "given": ["x", "y"]}, {"family": "B"}],
    "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "2"}],
    "extension": [{"url": "http://e/1", "valueString": "s"}, {"url": "http://e/2"}],
    "managingOrganization": {"reference": "Organization/o"},
    "contained": [{"resourceType": "Practitioner", "id": "c"}],
    "generalPractitioner": [
        {"reference": "#c"},
        {"reference": "Organization/o"},
        {"identifier": {"value": "9"}},
    ],
}
RESULTS = {
    "Patient.name.family": ["A", "B"],
    "Patient.name.given": ["x", "y"],
    "Patient.name[1].family": ["B"],
    "Patient.name[7].family": [],
    "Patient.name.family | Patient.id": ["A", "B", "p"],
    "Patient.deceased": ["2020"],
    "(Patient.deceased as dateTime)": ["2020"],
    "(Patient.deceased as boolean)": [],
    "Patient.deceased.as(DateTime)": ["2020"],
    "Patient.deceased.ofType(dateTime)": ["2020"],
    "Patient.deceased.exists()": [True],
    "Patient.multipleBirth.exists()": [False],
    "Patient.deceased.exists() and Patient.deceased != false": [True],
    "Patient.active.exists() and Patient.active != true": [False],
    "Patient.telecom.where(system='phone').value": ["1"],
    "Patient.telecom.where(system = 'fax').value": [],
    "Patient.telecom.where(system != 'fax').value": ["1", "2"],
    "Patient.extension('http://e/1').value": ["s"],
    "Patient.where(hasExtension('http://e/2')).id": ["p"],
    "Patient.managingOrganization.where(resolve() is Organization).reference": ["Organization/o"],
    "Patient.managingOrganization.where(resolve() is Patient).reference": [],
    "Patient.generalPractitioner.where(resolve() is Practitioner).reference": ["#c"],
    "Observation.code": [],
    "Resource.id": ["p"],
    "Patient.id.nothing": [],
}


@pytest.mark.parametrize(("expression", "values"), RESULTS.items())
def test_an_expression_selects_what_the_specification_says(
    expression: str, values: list[object]
) -> None:
    assert [node.value for node in evaluate(expression, PATIENT)] == values


@pytest.mark.parametrize(
    "expression",
    ["Patient.name.first()", "Patient.", "(Patient", "Patient name", "%resource.id", "a ~ b", ""],
)
def test_what_is_not_known_is_refused(expression: str) -> None:
    with pytest.raises(LdnError):
        compiled(expression)
