"""The search parameters of both versions: all are there and all can be evaluated.

Verifies hl7.org/fhir/R4/searchparameter-registry.html and its STU3 sibling.
"""

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.fhir.model import FhirVersion
from openldn.fhir.search.fhirpath import compiled
from openldn.fhir.search.keys import UNSUPPORTED, supported_composite
from openldn.fhir.search.model import Kind, Parameter
from openldn.fhir.search.parameters import compartment, parameters, types

STU3, R4 = FhirVersion.STU3, FhirVersion.R4


def every(version: FhirVersion) -> list[Parameter]:
    return [p for t in sorted(types(version)) for p in parameters(version, t).values()]


@pytest.mark.parametrize(("version", "least"), [(STU3, 1_360), (R4, 1_400)])
def test_all_official_parameters_are_there(version: FhirVersion, least: int) -> None:
    assert len([p for p in every(version) if not p.name.startswith("_")]) >= least


@pytest.mark.parametrize("version", FhirVersion)
def test_every_expression_can_be_evaluated_but_the_named_exceptions(version: FhirVersion) -> None:
    failed = set()
    for parameter in every(version):
        for expression in (parameter.expression, *(e for _, e in parameter.components)):
            try:
                compiled(expression)
            except LdnError as error:
                assert error.issue is Issue.NOT_SUPPORTED
                failed.add(parameter.name)

    assert failed <= UNSUPPORTED


@pytest.mark.parametrize("version", FhirVersion)
def test_a_composite_has_a_code_and_one_more_component_but_the_named_exceptions(
    version: FhirVersion,
) -> None:
    composites = [p for p in every(version) if p.kind is Kind.COMPOSITE]

    assert len(composites) > 10
    assert {p.name for p in composites if not supported_composite(p)} <= {
        "chromosome-variant-coordinate",
        "chromosome-window-coordinate",
        "referenceseqid-variant-coordinate",
        "referenceseqid-window-coordinate",
    }


def test_a_patient_parameter_leads_to_patients_only() -> None:
    for version in FhirVersion:
        for name in ("Observation", "Condition", "CareTeam", "MedicationRequest", "Flag"):
            assert parameters(version, name)["patient"].targets == ("Patient",)


def test_every_parameter_that_makes_a_compartment_exists() -> None:
    missing = [
        (version.value, type, name)
        for version in FhirVersion
        for type in types(version)
        for name in compartment(version, type)
        if name not in parameters(version, type)
    ]

    assert missing == []
    assert compartment(STU3, "ProcedureRequest") == ("subject", "performer")
    assert compartment(R4, "Organization") == ()


def test_an_unknown_type_has_the_common_parameters_only() -> None:
    assert set(parameters(STU3, "Nonsense")) == {
        "_id",
        "_lastUpdated",
        "_profile",
        "_security",
        "_tag",
    }
