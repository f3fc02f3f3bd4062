"""Confinement to one patient: what lies outside that patient's compartment is not there.

A caller who may see one patient gets the resources of that patient's compartment, and what
these point to that is no patient's own (organizations, practitioners, medication).
Source: hl7.org/fhir/R4/compartmentdefinition-patient.html.
"""

from collections.abc import Iterable, Sequence

from openldn.base.errors import Issue, LdnError
from openldn.base.sql import connection
from openldn.fhir.api import store
from openldn.fhir.api.model import Call
from openldn.fhir.codec import parse
from openldn.fhir.model import FhirVersion
from openldn.fhir.records.model import Place, Record
from openldn.fhir.search.keys import keys_of
from openldn.fhir.search.model import Criterion, Kind, Query


def patients_of(record: Record, version: FhirVersion) -> frozenset[str]:
    """The ids of the patients whose compartments hold this record; empty = nobody's own."""
    if not record.body:
        return frozenset()
    tokens = keys_of(parse(record.body), version).tokens
    return frozenset(code for name, _, code in tokens if name == "_compartment")


async def visible(call: Call, place: Place, records: Iterable[Record]) -> list[Record]:
    """Those of the records that this caller may see, in their order."""
    given = list(records)
    if not call.patient or not given:
        return given
    # Version by version: the versions of one record may have belonged to different patients.
    owners = [patients_of(r, place.fhir) for r in given]
    nobodys = {(r.type, r.id) for r, patients in zip(given, owners, strict=True) if not patients}
    linked: set[store.Key] = set()
    if nobodys:
        async with connection(call.api.records.pool) as db:
            linked = await store.linked(db, place, call.patient, nobodys)
    return [
        r
        for r, patients in zip(given, owners, strict=True)
        if r.body and (call.patient in patients if patients else (r.type, r.id) in linked)
    ]


async def require_visible(call: Call, place: Place, record: Record) -> None:
    """Raise LdnError(not-found) for a record this caller may not see: no word on its existence."""
    if call.patient and not await visible(call, place, [record]):
        raise not_found()


def not_found() -> LdnError:
    """What a caller hears of a resource that is not there, or not there for them."""
    return LdnError(Issue.NOT_FOUND, "no resource with this type and id; check both")


def require_own_patient(patient: str, query: Query) -> None:
    """Raise LdnError(forbidden) when a parameter names another patient than the caller's own."""
    if patient and any(_contradicts(patient, criterion) for criterion in query.criteria):
        text = "the token is for another patient than a parameter names; leave the parameter out"
        raise LdnError(Issue.FORBIDDEN, text)


def _contradicts(patient: str, criterion: Criterion) -> bool:
    parameter = criterion.parameter
    if criterion.chain or criterion.modifier not in {"", "Patient"}:
        return False
    if parameter.kind is not Kind.REFERENCE or "Patient" not in parameter.targets:
        return (
            parameter.type == "Patient"
            and parameter.name == "_id"
            and _other(patient, [v.code or v.text for v in criterion.values])
        )
    typed = criterion.modifier == "Patient" or parameter.targets == ("Patient",)
    named = [v.code or v.text for v in criterion.values if typed or v.system == "Patient"]
    return _other(patient, named)


def _other(patient: str, named: Sequence[str]) -> bool:
    return any(name.rpartition("/")[2] != patient for name in named)
