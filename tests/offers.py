"""Offers to write in dialects: parties, contents, and every offer that moves can lead to."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from openldn.fhir.identifiers import Ura
from openldn.patterns.dialects.model import Content, Named, Parties
from openldn.patterns.dialects.organizations import AGB_OID, DID
from openldn.patterns.notified_pull.model import Given, Label, Offer, Period, Pointer, Reason
from openldn.patterns.notified_pull.moving import move
from openldn.patterns.notified_pull.states import OFFER, PLACER, TABLES

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
HOSPITAL, HOME = Ura("90000001"), Ura("90000002")
SCT, LOINC = "http://snomed.info/sct", "http://loinc.org"
REFERRAL = Content("bgz", "refer", SCT, "3457005")
TRANSFER = Content("eoverdracht", "transfer", SCT, "308292007", "placer-starts")
CONTENTS = (REFERRAL, TRANSFER)

NAMES = {
    HOSPITAL: (Named(AGB_OID, "06010101"), Named(DID, "did:web:hospital.example")),
    HOME: (Named(AGB_OID, "47470202"), Named(DID, "did:web:home.example")),
}
URAS = {named: ura for ura, names in NAMES.items() for named in names}


def parties(
    system: str = DID,
    *,
    placer: Ura | None = None,
    fulfiller: Ura | None = None,
    bare: bool = False,
) -> Parties:
    """What a node knows in these tests; it names organizations in this system."""
    return Parties(
        NOW,
        CONTENTS,
        Named(DID, "did:web:hospital.example/serviceEndpoint?type=fhir"),
        URAS.get,
        lambda ura: next((n for n in NAMES.get(ura, ()) if n.system == system), None),
        placer,
        fulfiller,
        bare=bare,
    )


def offer(**fields: object) -> Offer:
    """An offer of the hospital that the home has heard of."""
    given = Offer(
        "3f2c6c1e-2d6f-4a58-9a53-0f4c1f5b7a01",
        "urn:uuid:7d7f0a4e-55c7-4b0f-8f8a-6a1c2b3d4e5f",
        HOSPITAL,
        HOME,
        "bgz",
        "refer",
        NOW,
        NOW,
        "requested",
        1,
        patient="Patient/p1",
        queries=(Pointer("Condition", "11450-4", LOINC),),
        authorization="b2ZmZXI=",
        expires=NOW + timedelta(days=7),
    )
    return replace(given, **fields)  # type: ignore[arg-type]


_words = st.text("abé ", min_size=1, max_size=8).filter(lambda t: bool(t.strip()))
_ids = st.text("aZ09-.", min_size=1, max_size=12).filter(lambda i: ".." not in i)
_times = st.integers(0, 10**15).map(lambda n: NOW + timedelta(microseconds=n))
_periods = st.builds(
    lambda a, d: Period(a, a + d if d else None),
    _times,
    st.none() | st.timedeltas(timedelta(seconds=1), timedelta(days=9)),
)
_reasons = st.builds(Reason, _words, *(st.sampled_from(["", "x1"]),) * 1, st.just("")) | st.builds(
    Reason, _words, st.just("no-capacity"), st.just("http://example.org/reasons")
)
_labels = st.builds(
    Label,
    st.just("http://example.org/departments"),
    _ids,
    st.sampled_from([None, HOME]),
    st.sampled_from(["", "Cardiologie"]),
)
_coded = st.sampled_from(
    [("", ""), ("11450-4", LOINC), ("721915006", SCT), ("11171000146100", SCT)]
)
_SEARCHES = (
    "Condition",
    "Patient?_include=Patient:general-practitioner",
    "Observation/$lastn?category=http%3A%2F%2Fsnomed.info%2Fsct%7C118228005",
    "DocumentReference?status=current",
)
_queries = st.builds(lambda v, c: Pointer(v, *c), st.sampled_from(_SEARCHES), _coded)
_resources = st.builds(lambda id, c: Pointer(f"Composition/{id}", *c), _ids, _coded)
_given = st.builds(
    Given,
    _reasons,
    st.one_of(st.just(""), _words),
    st.none() | _periods,
)


@st.composite
def offers(draw: st.DrawFn) -> Offer:
    """An offer somewhere on its way, by moves that its table allows."""
    table = draw(st.sampled_from(sorted(TABLES)))
    at = draw(_start(table))
    at = move(at, OFFER, PLACER, draw(_times), Given(note=draw(st.just("") | _words)))
    for _ in range(draw(st.integers(0, 6))):
        rows = [m for m in at.moves.moves if at.state in m.before]
        if not rows:
            break
        row = draw(st.sampled_from(rows))
        given = draw(_given)
        if row.needs == "proposal" and given.proposed is None and not given.note:
            given = replace(given, note="other day")
        if row.needs != "reason":
            given = replace(given, reason=None)
        at = move(at, row.event, row.actor, draw(_times), given)
    return at


def _start(table: str) -> st.SearchStrategy[Offer]:
    contents = st.sampled_from([("bgz", "refer"), ("eoverdracht", "transfer"), ("x", "y")])
    made = st.builds(
        lambda id, key, content: offer(
            id=id,
            identifier=f"urn:uuid:{key}",
            exchange=content[0],
            use_case=content[1],
            table=table,
            state="",
            version=0,
        ),
        _ids | st.uuids().map(str),
        st.uuids(),
        contents,
    )
    return st.builds(
        replace,
        made,
        created=_times,
        focus=st.sampled_from(["", "ServiceRequest/1"]),
        patient=_ids.map(lambda i: f"Patient/{i}"),
        group=st.sampled_from(["", "g1"]),
        queries=st.lists(_queries, max_size=3).map(tuple),
        resources=st.lists(_resources, max_size=3).map(tuple),
        authorization=st.sampled_from(["", "b2ZmZXI="]),
        service=st.none() | _labels,
        location=st.none() | _labels,
        expires=st.none() | _times,
    )
