"""Asking everyone and looking back, over plain HTTP (patterns §7; rule R83; portals CS-1, CS-9)."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta

import msgspec
import pytest
from access.records import JANSEN
from access.test_portal_pages import Person, text_of
from access.world import World, case

from openldn.access.professional.people import Standing, practitioners
from openldn.access.professional.settings import read_network
from openldn.trust.people.levels import Level

WHY = "buiten bewustzijn gevonden naast haar fiets"
GLASS = {"bsn": JANSEN, "code": "unconscious", "text": WHY, "aware": "yes"}


@pytest.fixture
def people(world: World) -> Iterator[Callable[..., Person]]:
    """Makes persons who signed in, by default at level high, and closes their browsers."""
    with ExitStack() as stack:

        def someone(level: Level = Level.HIGH, language: str = "nl") -> Person:
            node = read_network(world.network).nodes[0]
            session = world.portal.sessions.begin(node, practitioners(node)[0], Standing(level))
            made = Person(world.url, language)
            made.http.cookies.set("openldn-session", session.id)
            stack.callback(made.http.close)
            return made

        yield someone


@pytest.fixture
def person(people: Callable[..., Person]) -> Person:
    return people()


def ask(person: Person, bsn: str = JANSEN) -> str:
    person.open("/everyone")
    return str(person.send("/everyone", bsn=bsn, treating="yes").url)


def wait(person: Person, url: str, text: str) -> str:
    """The page, once this stands in it: each time it is loaded anew, as without JavaScript."""
    for _ in range(500):
        if text in person.open(url).text:
            return person.page
    raise AssertionError(text_of(person.page))


def test_each_holder_shows_as_it_ends_and_the_facts_of_all_stand_together(
    person: Person, world: World
) -> None:
    url = ask(person)
    page = wait(person, url, "2 van 3 zorgaanbieders klaar")
    assert '<noscript><meta http-equiv="refresh"' in page
    assert "Ziekenhuis De Brug" in page and "geweigerd" in page

    world.node.go_on.set()
    page = wait(person, url, 'data-done="yes"')

    assert "2 van 3 zorgaanbieders antwoordden volledig" in text_of(page)
    assert "refresh" not in page
    allergies = page.partition('id="section-allergies"')[2].partition("</section>")[0]
    assert {"Ziekenhuis De Brug", "Revalidatiecentrum De Linde"} <= set(
        re.findall(r"<strong>([^<]+)</strong></span>", allergies)
    )
    assert JANSEN not in page
    assert world.node.collected[0]["purpose"] == "TREAT"
    assert "emergency" not in world.node.collected[0]


def test_what_comes_in_is_pushed_to_the_page_and_the_end_too(person: Person, world: World) -> None:
    url = ask(person)
    wait(person, url, "2 van 3 zorgaanbieders klaar")
    with person.http.stream("GET", f"{url}/stream") as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        assert reply.headers["cache-control"] == "no-store"
        came = ""
        for line in reply.iter_lines():
            came += line + "\n"
            if "2 van 3" in line:
                world.node.go_on.set()

    assert came.count("event: parts\n") >= 2
    assert came.endswith("event: done\ndata: \n\n")
    assert JANSEN not in came


def test_one_holder_and_one_fact_open_from_the_page_of_everyone(
    person: Person, world: World
) -> None:
    world.node.go_on.set()
    page = wait(person, ask(person), 'data-done="yes"')

    holder = re.findall(r'<a href="(/questions/[^"/]+)"', page)[0]
    fact = re.findall(r'<a href="(/questions/[^"]+/facts/[^"]+)"', page)[0]

    assert "Ziekenhuis De Brug" in person.open(holder).text
    assert person.open(fact).status_code == 200


def test_an_index_that_is_away_is_no_patient_without_data(person: Person, world: World) -> None:
    world.node.index_down = True

    page = wait(person, ask(person), 'data-done="yes"')

    assert "De vraag aan iedereen lukte niet" in page
    assert "who holds data cannot be known now" in page
    assert "Niemand heeft" not in page


def test_nobody_registered_says_so_with_its_limits(person: Person) -> None:
    page = wait(person, ask(person, "999900006"), 'data-done="yes"')

    assert "Geen zorgaanbieder heeft gegevens" in page


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"bsn": ""}, "Vul het BSN"),
        ({"bsn": "123456789"}, "controlecijfer"),
        ({"treating": ""}, "behandelrelatie"),
    ],
)
def test_what_is_wrong_with_the_question_is_told_beside_its_field(
    person: Person, world: World, fields: dict[str, str], text: str
) -> None:
    person.open("/everyone")
    reply = person.send("/everyone", **({"bsn": JANSEN, "treating": "yes"} | fields))

    assert reply.status_code == 400
    assert text in reply.text
    assert world.node.collected == []


def test_cs9_an_emergency_asks_with_its_reason_and_the_page_is_for_looking_only(
    person: Person, world: World
) -> None:
    world.node.go_on.set()
    form = text_of(person.open("/emergency").text)
    assert "15 minuten" in form and "bezwaar" in form

    page = wait(person, str(person.send("/emergency", **GLASS).url), 'data-done="yes"')

    asked = world.node.collected[0]
    assert asked["purpose"] == "BTG"
    assert asked["emergency"] == {"code": "unconscious", "text": WHY, "use": "view"}
    assert asked["practitioner"]["loa"] == Level.HIGH.uri
    assert "Noodtoegang: alleen kijken" in page
    holder = person.open(re.findall(r'<a href="(/questions/[^"/]+)"', page)[0]).text
    assert "Noodtoegang: alleen kijken" in holder
    assert "/again" not in holder


def test_r83_what_came_in_is_gone_once_the_time_to_look_is_over(
    person: Person, world: World
) -> None:
    world.node.go_on.set()
    person.open("/emergency")
    url = str(person.send("/emergency", **GLASS).url)
    page = wait(person, url, 'data-done="yes"')
    holder = re.findall(r'<a href="(/questions/[^"/]+)"', page)[0]
    sessions = world.portal.sessions
    before, sessions.idle = sessions.idle, timedelta(hours=1)
    world.clock.ahead = timedelta(minutes=15, seconds=5)
    try:
        late = person.open(url).text
        gone = person.open(holder)
    finally:
        world.clock.ahead, sessions.idle = timedelta(), before

    assert "De tijd om te kijken is voorbij" in late
    assert 'id="section-' not in late
    assert gone.status_code == 404


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"bsn": "12"}, "negen cijfers"),
        ({"code": ""}, "Kies waarom"),
        ({"code": "curious"}, "Kies waarom"),
        ({"text": "te kort"}, "10 tot 1000"),
        ({"text": "een onzichtbaar\u200bteken"}, "10 tot 1000"),
        ({"aware": ""}, "Bevestig"),
    ],
)
def test_r83_without_reason_or_knowing_what_follows_nobody_is_asked(
    person: Person, world: World, fields: dict[str, str], text: str
) -> None:
    person.open("/emergency")
    reply = person.send("/emergency", **(GLASS | fields))

    assert reply.status_code == 400
    assert text in reply.text
    assert world.node.collected == []


@pytest.mark.parametrize("level", [Level.NONE, Level.SUBSTANTIAL])
def test_r83_who_did_not_sign_in_at_level_high_gets_no_form(
    people: Callable[..., Person], world: World, level: Level
) -> None:
    person = people(level)
    page = person.open("/emergency").text

    assert "niet zeker genoeg ingelogd" in page
    assert 'action="/emergency"' not in page
    assert person.send("/emergency", **GLASS).status_code == 400
    assert world.node.collected == []


def test_each_case_waits_until_a_second_person_reviewed_it(person: Person, world: World) -> None:
    mine = practitioners(read_network(world.network).nodes[0])[0].uzi
    world.node.cases += [case("one"), case("two", side="asked", person=mine)]
    page = text_of(person.open("/reviews").text)
    assert "Te beoordelen: 2" in page

    assert "Een ander beoordeelt haar" in person.open("/reviews/two").text
    assert 'action="/reviews' not in person.page
    person.open("/reviews/one")
    assert "buiten bewustzijn gevonden" in person.page
    short = person.send("/reviews/one", outcome="justified", text="kort")
    assert (short.status_code, "Kies een oordeel" in short.text) == (400, True)
    person.send("/reviews/two", outcome="justified", text="dat vind ik zelf ook")
    assert world.node.cases[1]["outcome"] == ""
    person.open("/reviews/one")
    kept = person.send("/reviews/one", outcome="not-justified", text="hij werkte hier niet")

    assert "Te beoordelen: 1" in text_of(kept.text)
    assert "niet terecht" in kept.text
    assert (
        world.node.cases[0]["reviewer"]
        == practitioners(read_network(world.network).nodes[0])[0].name
    )
    assert "hij werkte hier niet" in person.open("/reviews/one").text
    assert person.open("/reviews/nine").status_code == 404


def test_only_the_reviewers_that_are_named_may_look_back(person: Person, world: World) -> None:
    world.node.cases.append(case("one"))
    door = world.portal
    named = msgspec.structs.replace(door.settings, reviewers=("900000001",))
    before, door.settings = door.settings, named
    try:
        shut = [person.open(path).status_code for path in ("/reviews", "/reviews/one")]
    finally:
        door.settings = before

    assert shut == [403, 403]
