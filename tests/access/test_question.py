"""A question tells at any moment what came in, what is awaited, what failed and whose it is."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from openldn.access.professional.evidence import entries
from openldn.access.professional.patients import contact_persons, identity
from openldn.access.professional.people import practitioners
from openldn.access.professional.question import Holder, Question
from openldn.access.professional.readers import library
from openldn.access.professional.sessions import MOST_QUESTIONS, MOST_SESSIONS, Sessions
from openldn.access.professional.settings import Node
from openldn.access.professional.summary import summary
from openldn.access.professional.words import words
from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Bsn
from openldn.fhir.model import Resource

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
TODAY = date(2026, 11, 23)
GP = Node("gp", "Huisartsenpraktijk", "90000004", "https://127.0.0.1/api", "c", "k")
BSN = Bsn.parse("999911120")
DUTCH = words("nl")


def question(id: str = "q") -> Question:
    holder = Holder("90000001", "Ziekenhuis")
    return Question(id, BSN, holder, GP, practitioners(GP)[0], NOW, "correlation-1")


def plan(**zibs: str) -> dict[str, Any]:
    queries = [{"id": i, "zib": z, "title": {"nl": z, "en": z}} for i, z in zibs.items()]
    return {"event": "plan", "queries": queries}


def answer(query: str, status: str = "ok", *resources: Resource) -> dict[str, Any]:
    error = None if status in ("ok", "empty") else {"issue": "timeout", "message": "too late"}
    event = {"event": "answer", "query": query, "status": status, "error": error}
    return event | {"resources": list(resources), "includes": []}


def patient(**more: Any) -> Resource:
    system = "http://fhir.nl/fhir/NamingSystem/bsn"
    base = {
        "resourceType": "Patient",
        "id": "p",
        "identifier": [{"system": system, "value": "999911120"}],
        "name": [{"use": "official", "family": "Jansen", "given": ["J."]}],
        "birthDate": "1951-11-24",
        "gender": "female",
    }
    return base | more


def test_a_section_is_loading_until_its_last_query_answered() -> None:
    asked = question()
    asked.take(plan(B19="zib-BloodPressure", B20="zib-BodyWeight"))
    asked.take(answer("B19"))

    assert asked.state("vital_signs") == "loading"

    asked.take(answer("B20", "empty"))

    assert asked.state("vital_signs") == "complete"


def test_a_failed_query_makes_its_section_partial_or_failed_never_empty() -> None:
    asked = question()
    asked.take(plan(B19="zib-BloodPressure", B20="zib-BodyWeight", B13="zib-AllergyIntolerance"))
    for id, status in (("B19", "ok"), ("B20", "late"), ("B13", "refused")):
        asked.take(answer(id, status))
    asked.end(NOW)

    assert asked.state("vital_signs") == "partial"
    assert asked.state("allergies") == "failed"
    assert [query.id for query, _ in asked.failures] == ["B20", "B13"]


def test_a_section_that_was_not_asked_is_not_called_empty() -> None:
    asked = question()
    asked.take(plan(B13="zib-AllergyIntolerance"))

    assert asked.state("payer") == "not_asked"


def test_a_stream_that_breaks_off_fails_every_query_still_awaited() -> None:
    asked = question()
    asked.take(plan(B13="zib-AllergyIntolerance", B06="zib-Problem"))
    asked.take(answer("B13", "empty"))
    asked.end(NOW)

    assert [(q.id, a.status) for q, a in asked.failures] == [("B06", "failed")]
    assert asked.problem is None


def test_a_refusal_before_the_plan_is_the_problem_of_the_whole_question() -> None:
    asked = question()
    asked.end(NOW, LdnError(Issue.FORBIDDEN, "refused"))

    assert asked.problem is not None
    assert asked.problem.issue is Issue.FORBIDDEN


def test_a_status_we_do_not_know_counts_as_failed() -> None:
    asked = question()
    asked.take(plan(B13="zib-AllergyIntolerance"))
    asked.take(answer("B13", "splendid"))

    assert asked.state("allergies") == "failed"


def test_the_same_resource_from_two_queries_is_shown_once() -> None:
    asked = question()
    asked.take(plan(B13="zib-AllergyIntolerance", B06="zib-Problem"))
    organization = {"resourceType": "Organization", "id": "o", "name": "Ziekenhuis"}
    asked.take(answer("B13", "ok", organization))
    asked.take(answer("B06", "ok", dict(organization), organization | {"name": "Anders"}))

    assert [r["name"] for r in asked.resources] == ["Ziekenhuis", "Anders"]


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["event", "queries", "query", "status", "resources", "error", "title"]),
            st.recursive(
                st.none() | st.text(max_size=5) | st.sampled_from(["plan", "answer", "final"]),
                lambda i: (
                    st.lists(i, max_size=3)
                    | st.dictionaries(st.sampled_from(["id", "zib", "title", "nl", "issue"]), i)
                ),
                max_leaves=8,
            ),
        ),
        max_size=6,
    )
)
@settings(deadline=None)
def test_any_lines_from_a_node_give_a_page(events: list[dict[str, Any]]) -> None:
    asked = question()
    for event in events:
        asked.take(event)
    asked.end(NOW)

    assert summary(asked, DUTCH, TODAY).done


def test_the_header_tells_name_birth_date_age_and_sex() -> None:
    seen = identity(library(DUTCH, []), [patient()], BSN, TODAY)

    assert (seen.name, seen.birth_date, seen.age, seen.gender) == (
        "J. Jansen",
        "1951-11-24",
        74,
        "female",
    )
    assert seen.warnings == ()


def test_a_deceased_patient_has_a_date_and_no_age() -> None:
    dead = patient(deceasedDateTime="2018-07-01")

    seen = identity(library(DUTCH, []), [dead], BSN, TODAY)

    assert (seen.deceased, seen.age) == ("1 juli 2018", None)


def test_another_bsn_than_the_one_asked_is_a_warning() -> None:
    other = patient(
        identifier=[{"system": "http://fhir.nl/fhir/NamingSystem/bsn", "value": "999990019"}]
    )

    assert identity(library(DUTCH, []), [other], BSN, TODAY).warnings == (
        "patient.warning.bsn_differs",
    )


def test_no_bsn_two_patients_and_facts_about_another_are_warnings() -> None:
    stray = {"resourceType": "Condition", "subject": {"reference": "https://x/Patient/z"}}
    second = patient(id="q", identifier=[])

    seen = identity(library(DUTCH, []), [second], BSN, TODAY)
    more = identity(library(DUTCH, []), [patient(), second, stray], BSN, TODAY)

    assert seen.warnings == ("patient.warning.bsn_absent",)
    assert set(more.warnings) == {"patient.warning.several", "patient.warning.other_subject"}


def test_contacts_inside_the_patient_are_listed_as_contact_persons() -> None:
    contact = {"name": {"family": "Jansen"}, "telecom": [{"value": "0612345678"}]}

    [person] = contact_persons([patient(contact=[contact])])

    assert (person["resourceType"], person["id"]) == ("RelatedPerson", "p.contact.0")


def test_an_audit_event_is_told_without_the_bsn() -> None:
    query = "R0VUIEZsYWc/cGF0aWVudC5pZGVudGlmaWVyPWh0dHA6Ly9mL2JzbnwwOTk5OTExMTIwfDk5OTkxMTEyMA=="
    event = {"recorded": "2026-11-23T10:00:01Z", "outcome": "8", "entity": [{"query": query}]}

    [entry] = entries(library(DUTCH, []), [event], {})

    assert entry.when == "23 nov. 2026 11:00:01"
    assert "999911120" not in entry.query
    assert entry.query.startswith("GET Flag?")


class Rooms:
    """Sessions on a clock that we turn."""

    def __init__(self) -> None:
        self.now = NOW
        self.dropped: list[str] = []
        minutes, hours = timedelta(minutes=15), timedelta(hours=8)
        self.sessions = Sessions(
            lambda: self.now, minutes, hours, lambda q: self.dropped.append(q.id)
        )

    def begin(self) -> str:
        return self.sessions.begin(GP, practitioners(GP)[0]).id


def test_a_session_ends_after_a_quarter_of_an_hour_without_use() -> None:
    rooms = Rooms()
    id = rooms.begin()

    rooms.now += timedelta(minutes=14)
    assert rooms.sessions.find(id)
    rooms.now += timedelta(minutes=14)
    assert rooms.sessions.find(id)
    rooms.now += timedelta(minutes=16)
    assert rooms.sessions.find(id) is None


def test_a_session_ends_after_a_working_day_even_when_used() -> None:
    rooms = Rooms()
    id = rooms.begin()

    for _ in range(50):
        rooms.now += timedelta(minutes=10)
        rooms.sessions.find(id)

    assert rooms.sessions.find(id) is None


def test_what_was_asked_is_forgotten_with_the_session() -> None:
    rooms = Rooms()
    id = rooms.begin()
    session = rooms.sessions.find(id)
    assert session
    rooms.sessions.keep(session, question("q1"))

    rooms.sessions.end(id)

    assert rooms.dropped == ["q1"]


def test_sessions_and_their_questions_are_bounded() -> None:
    rooms = Rooms()
    ids = [rooms.begin() for _ in range(MOST_SESSIONS + 1)]
    session = rooms.sessions.find(ids[-1])
    assert session

    for n in range(MOST_QUESTIONS + 2):
        rooms.sessions.keep(session, question(str(n)))

    assert rooms.sessions.find(ids[0]) is None
    assert len(session.questions) == MOST_QUESTIONS
    assert rooms.dropped == ["0", "1"]


def test_a_form_of_one_visit_is_no_proof_in_another() -> None:
    rooms = Rooms()
    proof = rooms.sessions.forms.proof("visit-1")

    assert rooms.sessions.forms.proven("visit-1", proof)
    assert not rooms.sessions.forms.proven("visit-2", proof)
    assert not rooms.sessions.forms.proven("", rooms.sessions.forms.proof(""))
    assert not rooms.sessions.forms.proven("visit-1", "ä" + proof)


def test_a_question_does_not_show_its_bsn_or_its_contents_in_its_repr() -> None:
    asked = question()
    asked.take(answer("B01", "ok", patient()))

    assert "999911120" not in repr(asked)
    assert "Jansen" not in repr(asked)
