"""The pages of citizens over plain HTTP: what they say, keep, refuse, and never let out."""

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape

import httpx2
import pytest
from access.citizen.world import CODE, HOSTILE, JANSEN, OTHER, World, line

from openldn.access.citizen.desk import Message, open_desk
from openldn.access.citizen.settings import CitizenSettings
from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant, new_uuid, utc_now
from openldn.functions.consent.model import Choice, Decision, Level, Target

YES = {"decision": "yes", "user": "category:RPZAC001", "holder": "category:hospital"}


class Person:
    """Someone with a browser that keeps cookies and fills in forms, without JavaScript."""

    def __init__(self, url: str, language: str = "nl") -> None:
        self.http = httpx2.Client(base_url=url, headers={"accept-language": language}, timeout=30)
        self.page = ""

    def open(self, path: str) -> httpx2.Response:
        reply = self.http.get(path, follow_redirects=True)
        self.page = reply.text
        return reply

    def send(self, path: str, **fields: str) -> httpx2.Response:
        proof = re.search(r'name="proof" value="([0-9a-f]+)"', self.page)
        form = ({"proof": proof[1]} if proof else {}) | fields
        reply = self.http.post(path, data=form, follow_redirects=True)
        self.page = reply.text
        return reply

    def sign_in(self, bsn: str = JANSEN.value, born: str = "1951-04-17") -> "Person":
        self.open("/mijn/sign-in")
        self.send("/mijn/sign-in", bsn=bsn, born=born)
        return self

    def keep(self, **fields: str) -> httpx2.Response:
        """Choose, look at what it means, and keep it as the page offers."""
        self.open("/mijn/choices")
        self.send("/mijn/choices/preview", **fields)
        return self.send("/mijn/choices", **hidden(self.page))


def hidden(page: str) -> dict[str, str]:
    form = page[page.index('action="/mijn/choices"') :]
    return {n: unescape(v) for n, v in re.findall(r'name="(\w+)" value="([^"]*)"', form)}


@pytest.fixture
def stranger(mine: World) -> Iterator[Person]:
    made = Person(mine.url)
    yield made
    made.http.close()


@pytest.fixture
def jansen(stranger: Person) -> Person:
    return stranger.sign_in()


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


def test_who_chose_nothing_is_told_that_nobody_may(jansen: Person) -> None:
    assert "U hebt nog niets gekozen." in text_of(jansen.open("/mijn/").text)
    assert "Niemand" in text_of(jansen.open("/mijn/choices").text)


def test_nothing_is_kept_before_what_it_means_was_shown(jansen: Person, mine: World) -> None:
    jansen.open("/mijn/choices")

    page = text_of(jansen.send("/mijn/choices/preview", **YES).text)

    assert "Er is nog niets bewaard." in page
    assert "Gegevens bij Ziekenhuis De Brug" in page
    assert "Mag voortaan Huisartsenpraktijk Het Plein" in page
    assert "Kliniek Het Veer Niemand" in page
    assert not mine.registry.kept


def test_what_was_shown_is_what_is_kept(jansen: Person, mine: World) -> None:
    page = text_of(jansen.keep(**YES).text)

    assert "Uw keuze is bewaard" in page
    assert "Opvragen door Huisartsen, bij Ziekenhuizen: dat mag." in page
    [choice] = mine.registry.kept[JANSEN][-1]
    assert (choice.decision, choice.holder, choice.user) == (
        Decision.PERMIT,
        Target(Level.CATEGORY, "hospital"),
        Target(Level.CATEGORY, "RPZAC001"),
    )


def test_an_objection_to_one_provider_takes_away_what_a_category_gave(
    jansen: Person, mine: World
) -> None:
    jansen.keep(**YES)
    jansen.open("/mijn/choices")

    page = text_of(
        jansen.send(
            "/mijn/choices/preview", decision="no", user="provider:90000004", holder="any"
        ).text
    )

    assert "Mag niet meer Huisartsenpraktijk Het Plein" in page


def test_choosing_again_about_the_same_takes_the_place_of_the_first(
    jansen: Person, mine: World
) -> None:
    jansen.keep(**YES)
    jansen.keep(**YES | {"decision": "no"})

    [choice] = mine.registry.kept[JANSEN][-1]
    assert choice.decision is Decision.DENY


def test_a_choice_can_be_ended_after_seeing_what_that_means(jansen: Person, mine: World) -> None:
    jansen.keep(**YES)
    [choice] = mine.registry.kept[JANSEN][-1]
    jansen.open("/mijn/choices")

    page = text_of(jansen.send("/mijn/choices/preview", remove=choice.id).text)
    assert "U wilt hiermee stoppen" in page and "Mag niet meer" in page
    jansen.send("/mijn/choices", **hidden(jansen.page))

    assert mine.registry.kept[JANSEN][-1] == ()


def test_the_last_day_counts_whole_on_the_dutch_clock(jansen: Person, mine: World) -> None:
    day = (utc_now() + timedelta(days=30)).date()
    jansen.keep(**YES, until=day.isoformat())

    [choice] = mine.registry.kept[JANSEN][-1]
    assert choice.end is not None
    assert choice.end.isoformat().startswith(f"{day + timedelta(days=1)}T00:00:00+0")


@pytest.mark.parametrize(
    ("fields", "where"),
    [
        (YES | {"decision": ""}, "decision"),
        (YES | {"user": "provider:99999999"}, "user"),
        (YES | {"holder": HOSTILE}, "holder"),
        (YES | {"until": "2001-01-01"}, "until"),
        (YES | {"until": "9999-12-31"}, "until"),
        (YES | {"until": "tomorrow"}, "until"),
    ],
)
def test_a_form_that_cannot_be_read_is_shown_again_with_what_is_wrong(
    jansen: Person, mine: World, fields: dict[str, str], where: str
) -> None:
    jansen.open("/mijn/choices")

    reply = jansen.send("/mijn/choices/preview", **fields)

    assert reply.status_code == 400
    assert f'href="#{where}"' in reply.text and HOSTILE not in reply.text
    assert not mine.registry.kept


def test_choices_that_changed_meanwhile_are_not_overwritten(jansen: Person, mine: World) -> None:
    jansen.open("/mijn/choices")
    jansen.send("/mijn/choices/preview", **YES)
    elsewhere = (Choice("x", Decision.DENY),)
    mine.registry.kept[JANSEN] = [elsewhere]

    reply = jansen.send("/mijn/choices", **hidden(jansen.page))

    assert reply.status_code == 409
    assert mine.registry.kept[JANSEN] == [elsewhere]


def test_one_person_never_sees_or_changes_the_choices_of_another(
    jansen: Person, mine: World
) -> None:
    jansen.keep(**YES)
    other = Person(mine.url).sign_in(OTHER.value)

    assert "U hebt nog niets gekozen" in text_of(other.open("/mijn/choices").text)
    [choice] = mine.registry.kept[JANSEN][-1]
    reply = other.send("/mijn/choices/preview", remove=choice.id)
    assert reply.status_code == 404
    other.open("/mijn/looked")
    assert mine.log.asked[-1] == OTHER
    other.http.close()


def test_what_a_child_chooses_counts_once_a_parent_confirms_it(jansen: Person, mine: World) -> None:
    child = Person(mine.url).sign_in(OTHER.value, "2016-05-01")
    page = text_of(child.keep(**YES).text)
    assert "Een ouder moet dit bevestigen" in page and CODE in page
    assert not mine.registry.kept.get(OTHER)

    jansen.open("/mijn/choices")
    refused = jansen.send("/mijn/choices/confirm", child=OTHER.value, code="0000")
    assert refused.status_code == 403 and not mine.registry.kept.get(OTHER)
    jansen.open("/mijn/choices")
    done = jansen.send("/mijn/choices/confirm", child=OTHER.value, code=f" {CODE} ")

    assert "De keuzes zijn bevestigd" in text_of(done.text)
    assert len(mine.registry.kept[OTHER][-1]) == 1
    child.http.close()


def test_without_a_date_of_birth_nobody_comes_in(stranger: Person) -> None:
    stranger.open("/mijn/sign-in")
    reply = stranger.send("/mijn/sign-in", bsn=OTHER.value, born="soon")
    assert "Vul uw geboortedatum in" in text_of(reply.text)


def test_each_look_is_told_with_who_when_of_whom_and_why(jansen: Person, mine: World) -> None:
    mine.log.lines = (
        line(count=3),
        line(emergency=True, organization=HOSTILE, basis="emergency"),
        line(refused=True),
    )
    mine.log.silent = ("Apotheek De Vijzel",)

    reply = jansen.open("/mijn/looked")

    page = text_of(reply.text)
    assert "3 keer op deze dag" in page and "U gaf toestemming" in page
    assert "Spoed, zonder toestemming" in page and "Geweigerd: niets gezien" in page
    assert "Niet alle zorgaanbieders gaven antwoord" in page and "Apotheek De Vijzel" in page
    assert HOSTILE not in reply.text


def test_g18_somebody_who_looked_in_an_emergency_is_told_with_why_and_what_a_review_found(
    jansen: Person, mine: World
) -> None:
    known = {"at": instant(utc_now()), "role": "01.015", "holder": "Ziekenhuis De Brug"}
    seen = Message(
        **known, organization=HOSTILE, code="unconscious", opened=True, outcome="", reason="naast"
    )
    tried = Message(
        **known, organization="Kliniek", code="", opened=False, outcome="not-justified", reason=""
    )
    mine.log.messages = (seen, tried)

    for path in ("/mijn/", "/mijn/looked"):
        reply = jansen.open(path)
        page = text_of(reply.text)
        assert "zag gegevens bij Ziekenhuis De Brug" in page
        assert "U was buiten bewustzijn: “naast”" in page
        assert "Wordt nog door een ander beoordeeld" in page
        assert "Kliniek vroeg gegevens bij Ziekenhuis De Brug, maar kreeg niets" in page
        assert "niet terecht" in page
        assert HOSTILE not in reply.text


def test_a_registry_that_is_away_hides_nothing_else(jansen: Person, mine: World) -> None:
    mine.registry.down = LdnError(Issue.TRANSIENT, "the registry is away; try again later")
    mine.log.lines = (line(),)

    reply = jansen.open("/mijn/")

    assert reply.status_code == 200
    assert "Uw keuzes zijn nu niet te lezen" in text_of(reply.text)
    assert "Ziekenhuis De Brug" in text_of(reply.text)
    assert jansen.open("/mijn/choices").status_code == 503


@pytest.mark.parametrize("path", ["/mijn/", "/mijn/choices", "/mijn/looked"])
def test_nobody_sees_anything_without_signing_in(stranger: Person, mine: World, path: str) -> None:
    reply = stranger.http.get(path, follow_redirects=False)

    assert (reply.status_code, reply.headers["location"]) == (303, "/mijn/sign-in")
    assert not mine.log.asked


@pytest.mark.parametrize("number", ["", "123", "999911121", HOSTILE])
def test_a_number_that_is_no_bsn_does_not_let_in(stranger: Person, number: str) -> None:
    stranger.open("/mijn/sign-in")

    reply = stranger.send("/mijn/sign-in", bsn=number, born="1951-04-17")

    assert "Dit is geen BSN" in text_of(reply.text) and HOSTILE not in reply.text
    assert stranger.http.get("/mijn/", follow_redirects=False).status_code == 303


def test_a_form_that_is_not_ours_is_refused(jansen: Person, mine: World) -> None:
    reply = jansen.http.post("/mijn/choices", data={**YES, "version": "0", "proof": "00"})

    assert reply.status_code == 403
    assert not mine.registry.kept


def test_the_number_stands_in_no_address_and_no_log(
    jansen: Person, mine: World, capfd: pytest.CaptureFixture[str]
) -> None:
    visited = [jansen.open(p) for p in ("/mijn/", "/mijn/choices", "/mijn/looked")]
    jansen.keep(**YES)

    assert all(JANSEN.value not in str(reply.url) for reply in visited)
    told = capfd.readouterr()
    assert JANSEN.value not in told.out + told.err


def test_the_pages_do_not_open_without_a_way_to_sign_in() -> None:
    async def opened() -> None:
        settings = CitizenSettings(network="network.json")
        async with open_desk(settings, utc_now, new_uuid, lambda nodes: None):  # type: ignore[arg-type,return-value]
            pass

    with pytest.raises(LdnError, match="insecure_simulated_citizens"):
        asyncio.run(opened())
