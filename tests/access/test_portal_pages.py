"""The pages over plain HTTP: what they carry, what they refuse, and what never leaves them."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from html import unescape
from pathlib import Path

import httpx2
import pytest
from access.records import JANSEN
from access.world import BREAKS, FULL, NOTHING, PARTIAL, REFUSES, SLOW, WITHOUT, World

from openldn.access.professional.api import app
from openldn.access.professional.portal import portal
from openldn.access.professional.settings import PortalSettings
from openldn.base.http import serving
from openldn.base.runtime import new_uuid, utc_now


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

    def sign_in(self) -> "Person":
        self.open("/sign-in")
        self.send("/sign-in", practitioner="gp.1")
        return self

    def ask(self, holder: str, bsn: str = JANSEN) -> httpx2.Response:
        self.open("/find")
        return self.send("/find", bsn=bsn, holder=holder, treating="yes")

    def locate(self, bsn: str = JANSEN, **more: str) -> httpx2.Response:
        """Press the button that asks where data are."""
        self.open("/find")
        return self.send("/find", **{"bsn": bsn, "treating": "yes", "do": "where", **more})

    def choice(self, holder: str) -> str:
        """What the page says at this holder in the list."""
        found = re.findall(r'<label class="choice.*?</label>', self.page, re.DOTALL)
        return text_of(next(label for label in found if f'value="{holder}"' in label))

    def await_answer(self) -> str:
        """The page once all has come in."""
        path = re.findall(r'data-parts="([^"]+)/parts"', self.page)[0]
        for _ in range(500):
            if 'data-done="yes"' in self.open(path).text:
                return self.page
            time.sleep(0.01)
        raise AssertionError("the answer did not end")


@pytest.fixture
def people(world: World) -> Iterator[Callable[..., Person]]:
    """Makes persons, and closes their browsers afterwards."""
    with ExitStack() as stack:

        def someone(language: str = "nl") -> Person:
            made = Person(world.url, language)
            stack.callback(made.http.close)
            return made

        yield someone


@pytest.fixture
def person(people: Callable[..., Person]) -> Person:
    return people().sign_in()


def text_of(page: str) -> str:
    """What a page says, without its marks."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


def test_every_page_forbids_foreign_and_inline_content_and_is_not_kept(person: Person) -> None:
    person.ask(FULL)
    question = str(re.findall(r"/questions/[0-9a-f-]+", person.page)[0])
    paths = ["/", "/sign-in", "/find", "/network", question, f"{question}/evidence", "/nowhere"]

    for path in paths:
        headers = person.open(path).headers
        assert "default-src 'none'" in headers["content-security-policy"], path
        assert "unsafe" not in headers["content-security-policy"], path
        assert headers["cache-control"] == "no-store", path
        assert headers["x-content-type-options"] == "nosniff", path
        assert headers["referrer-policy"] == "no-referrer", path


def test_every_page_says_loudly_that_it_is_a_test(person: Person) -> None:
    for path in ("/", "/sign-in", "/find", "/network", "/nowhere"):
        assert '<p class="test"><strong>TEST</strong>' in person.open(path).text


def test_pages_have_one_main_heading_a_language_and_a_way_past_the_menu(person: Person) -> None:
    for path in ("/", "/sign-in", "/find", "/network", "/nowhere"):
        page = person.open(path).text
        assert len(re.findall(r"<h1[ >]", page)) == 1, path
        assert '<html lang="nl">' in page
        assert 'href="#main"' in page
        assert "<title>" in page


def test_the_portal_is_healthy_without_a_network_and_says_that_it_waits(tmp_path: Path) -> None:
    async def run() -> tuple[httpx2.Response, httpx2.Response]:
        settings = PortalSettings(network=str(tmp_path / "network.json"))
        made = app(portal(settings, utc_now, new_uuid))
        async with serving(made, "127.0.0.1", 0, None) as port, httpx2.AsyncClient() as http:
            origin = f"http://127.0.0.1:{port}"
            return await http.get(f"{origin}/health"), await http.get(f"{origin}/sign-in")

    health, sign_in = asyncio.run(run())

    assert health.json() == {"status": "ready"}
    assert sign_in.status_code == 503
    assert "nog niet klaar" in text_of(sign_in.text)


def test_nobody_sees_a_patient_page_without_signing_in(
    people: Callable[..., Person], person: Person
) -> None:
    person.ask(FULL)
    path = re.findall(r"/questions/[0-9a-f-]+", person.page)[0]
    stranger = people()
    colleague = people().sign_in()

    assert stranger.open("/find").url.path == "/sign-in"
    assert stranger.open(path).url.path == "/sign-in"
    assert colleague.open(path).status_code == 404


def test_the_session_cookie_is_out_of_reach_of_scripts_and_other_sites(
    people: Callable[..., Person],
) -> None:
    someone = people()
    someone.open("/sign-in")
    proof = re.findall(r'name="proof" value="([0-9a-f]+)"', someone.page)[0]
    form = {"proof": proof, "practitioner": "gp.1"}

    cookie = someone.http.post("/sign-in", data=form).headers["set-cookie"]

    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie


def test_signing_in_gives_a_new_session_and_signing_out_ends_it(person: Person) -> None:
    first = person.http.cookies["openldn-session"]
    person.sign_in()
    second = person.http.cookies["openldn-session"]
    person.open("/find")
    person.send("/sign-out")

    assert first != second
    assert person.open("/find").url.path == "/sign-in"


def test_a_form_without_our_proof_is_refused(person: Person) -> None:
    person.page = ""

    refused = person.send("/find", bsn=JANSEN, holder=FULL, treating="yes")

    assert refused.status_code == 403
    assert "niet is toegestaan" in text_of(refused.text)


def test_a_form_from_another_site_is_refused(person: Person) -> None:
    person.open("/find")
    person.http.headers["sec-fetch-site"] = "cross-site"

    assert person.send("/sign-out").status_code == 403


def test_a_foreign_name_for_our_address_is_refused(world: World) -> None:
    port = world.url.rsplit(":", 1)[1]
    reply = httpx2.get(f"{world.url}/", headers={"host": f"evil.example:{port}"})

    assert reply.status_code == 403


def test_the_language_switch_never_leads_to_another_site(world: World) -> None:
    for to in ("https://evil.example", "//evil.example", "/\\evil.example", "x", "/\r\nx"):
        reply = httpx2.get(f"{world.url}/language/en", params={"to": to})
        assert reply.headers["location"] == "/", to
    assert httpx2.get(f"{world.url}/language/xx").status_code == 404


def test_the_language_switch_keeps_the_page(person: Person) -> None:
    assert person.open("/language/en?to=/network").url.path == "/network"
    assert "About this network" in person.page


@pytest.mark.parametrize(
    ("bsn", "says"),
    [
        ("", "Vul het BSN van de patiënt in."),
        ("12345678", "Een BSN heeft negen cijfers."),
        ("٩٩٩٩١١١٢٠", "Een BSN heeft negen cijfers."),
        ("999911121", "het controlecijfer past niet"),
        ("000000000", "het controlecijfer past niet"),
    ],
)
def test_a_wrong_bsn_is_told_beside_its_field_and_asks_nobody(
    world: World, person: Person, bsn: str, says: str
) -> None:
    before = len(world.node.asked)

    reply = person.ask(FULL, bsn)

    assert reply.status_code == 400
    assert reply.url.path == "/find"
    assert says in text_of(person.page)
    assert '<a href="#bsn">' in person.page
    assert 'aria-describedby="bsn-hint bsn-error"' in person.page
    assert len(world.node.asked) == before


def test_spaces_and_dots_in_a_bsn_are_forgiven(person: Person) -> None:
    assert person.ask(FULL, f" {JANSEN[:4]}.{JANSEN[4:6]} {JANSEN[6:]}").url.path != "/find"


def test_nobody_is_asked_without_holder_and_treatment_relationship(
    world: World, person: Person
) -> None:
    before = len(world.node.asked)
    person.open("/find")

    reply = person.send("/find", bsn=JANSEN, holder="90000007")

    assert reply.status_code == 400
    assert "Kies de zorgaanbieder" in text_of(person.page)
    assert "Bevestig dat u een behandelrelatie" in text_of(person.page)
    assert len(world.node.asked) == before


def test_the_node_is_asked_as_this_practitioner_with_its_own_certificate(
    world: World, person: Person
) -> None:
    person.ask(FULL)
    person.await_answer()

    asked = dict(world.node.asked[-1])
    del asked["correlation"]
    assert asked == {
        "bsn": JANSEN,
        "holder": FULL,
        "purpose": "TREAT",
        "practitioner": {"uzi": "999900041", "role": "01.015", "name": "T. Huisman-Test"},
    }
    assert world.node.certificates[-1]


def test_who_says_to_hold_data_is_listed_and_marked_among_those_who_can_be_asked(
    world: World, person: Person
) -> None:
    asked = len(world.node.asked)

    reply = person.locate(holder=PARTIAL)

    assert (reply.status_code, reply.url.path) == (200, "/find")
    page = text_of(person.page)
    assert "Deze zorgaanbieders zeggen gegevens van deze patiënt te hebben: 3" in page
    assert "Fysiotherapie Zonder BgZ: levert deze gegevensset niet" in page
    assert "URA 90000044: staat niet in het adresboek" in page
    marked = [h for h in (FULL, PARTIAL, WITHOUT) if "heeft gegevens" in person.choice(h)]
    assert marked == [FULL, WITHOUT]
    assert f'value="{PARTIAL}" checked' in person.page
    assert len(world.node.asked) == asked


def test_the_node_is_asked_where_data_are_as_this_practitioner(
    world: World, person: Person
) -> None:
    person.locate()

    [asked] = world.node.located
    assert len(asked.pop("correlation")) >= 8
    assert asked == {
        "bsn": JANSEN,
        "purpose": "TREAT",
        "practitioner": {"uzi": "999900041", "role": "01.015", "name": "T. Huisman-Test"},
    }


def test_the_form_that_told_where_data_are_asks_the_chosen_holder(
    world: World, person: Person
) -> None:
    person.locate()
    reply = person.send("/find", bsn=JANSEN, holder=FULL, treating="yes")

    assert reply.url.path.startswith("/questions/")
    person.await_answer()
    assert world.node.asked[-1]["holder"] == FULL


def test_that_nobody_registered_is_not_called_that_there_is_nothing(person: Person) -> None:
    person.locate("999990019")

    page = text_of(person.page)
    assert "Geen zorgaanbieder heeft gegevens van deze patiënt aangemeld" in page
    assert "Een zorgaanbieder die niets aanmeldt, kan toch gegevens hebben." in page
    assert "heeft gegevens" not in person.choice(FULL)


def test_an_index_that_is_down_is_told_as_such_and_one_holder_can_still_be_asked(
    world: World, person: Person
) -> None:
    world.node.index_down = True

    person.locate()

    page = text_of(person.page)
    assert "Waar gegevens zijn, is nu niet te zeggen" in page
    assert "Dit betekent niet dat er geen gegevens zijn." in page
    assert "aangemeld" not in page
    assert person.send("/find", bsn=JANSEN, holder=FULL, treating="yes").url.path != "/find"


@pytest.mark.parametrize("answer", [{}, {"holders": "x"}, {"holders": ["90000001"]}, []])
def test_an_answer_that_cannot_be_read_is_never_taken_for_nobody(
    world: World, person: Person, answer: object
) -> None:
    world.node.nonsense = answer

    person.locate()

    page = text_of(person.page)
    assert "Waar gegevens zijn, is nu niet te zeggen" in page
    assert "aangemeld" not in page


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"bsn": "999911121"}, "het controlecijfer past niet"),
        ({"treating": ""}, "Bevestig dat u een behandelrelatie"),
    ],
)
def test_nobody_learns_where_data_are_without_a_patient_and_a_treatment_relationship(
    world: World, person: Person, fields: dict[str, str], says: str
) -> None:
    reply = person.locate(**fields)

    assert reply.status_code == 400
    assert says in text_of(person.page)
    assert "Kies de zorgaanbieder" not in text_of(person.page)
    assert world.node.located == []


def test_where_data_are_is_told_in_english_too(people: Callable[..., Person]) -> None:
    someone = people("en").sign_in()
    someone.locate()

    page = text_of(someone.page)
    assert "These care providers say they hold data of this patient: 3" in page
    assert "Where are data?" in page
    assert "holds data" in someone.choice(FULL)


def test_the_bsn_stands_in_no_address_title_page_or_log(
    person: Person, capfd: pytest.CaptureFixture[str]
) -> None:
    seen: list[str] = []
    for holder in (FULL, PARTIAL, BREAKS, REFUSES):
        seen.append(str(person.ask(holder).url))
        seen.append(person.await_answer())
        path = re.findall(r'data-parts="([^"]+)/parts"', person.page)[0]
        facts = re.findall(r'href="(/questions/[^"#]+/facts/[^"]+)"', person.page)
        for page in (f"{path}/parts", f"{path}/evidence", *facts[:40]):
            reply = person.open(page)
            seen += [str(reply.url), reply.text]
    person.locate()
    seen.append(person.page.replace(f'value="{JANSEN}"', ""))  # in the form, while it is filled in
    seen.append(person.open("/find").text)
    captured = capfd.readouterr()

    assert not [text[:80] for text in seen if JANSEN in text]
    assert JANSEN not in captured.out + captured.err
    assert "Jansen" not in captured.out + captured.err
    assert "•••••" + JANSEN[-3:] in seen[1]


def test_the_whole_record_is_shown_with_source_and_date(person: Person) -> None:
    person.ask(FULL)
    page = text_of(person.await_answer())

    assert "Johanna Jansen" in page
    assert "Klaar: 29 van 29 deelvragen beantwoord" in page
    assert "penicilline" in page
    assert "Ziekenhuis De Brug" in page
    assert page.index("Waarschuwingen") < page.index("Problemen en diagnoses")


def test_what_failed_says_why_and_how_to_try_again(person: Person) -> None:
    person.ask(PARTIAL)
    page = text_of(person.await_answer())

    assert "Niet alles is opgehaald: 3 deelvragen mislukten" in page
    assert "Allergie en intolerantie niet ontvangen: Er kwam geen antwoord op tijd." in page
    assert "Laboratoriumuitslag niet ontvangen: Dit is geweigerd" in page
    assert "Medicatieafspraak niet ontvangen: De andere partij is niet bereikbaar" in page
    assert "/again" in person.page


def test_trying_again_is_a_new_question_with_its_own_evidence(world: World, person: Person) -> None:
    person.ask(PARTIAL)
    person.await_answer()
    path = re.findall(r'action="(/questions/[^"]+/again)"', person.page)[0]

    person.send(path)
    person.await_answer()

    first, second = world.node.asked[-2:]
    assert first["bsn"] == second["bsn"]
    assert first["correlation"] != second["correlation"]


def test_a_failed_section_is_never_called_empty(person: Person) -> None:
    person.ask(PARTIAL)
    page = person.await_answer()

    [allergies] = re.findall(r'id="section-allergies".*?</section>', page, re.DOTALL)
    assert "Niets ontvangen" not in allergies


def test_nothing_received_is_not_called_nothing_there(person: Person) -> None:
    person.ask(NOTHING)
    page = text_of(person.await_answer())

    assert "Niets ontvangen van Huisartsenpraktijk Het Plein. Dat betekent niet" in page
    assert "controleer of dit de juiste patiënt is" in page


def test_a_refusal_is_told_with_its_identifier(world: World, person: Person) -> None:
    person.ask(REFUSES)
    page = text_of(person.await_answer())

    assert "De vraag aan Apotheek De Vijzel is niet gelukt" in page
    assert "no treatment relation known" in page
    assert world.node.asked[-1]["correlation"] in page


def test_an_answer_that_breaks_off_keeps_what_came_and_fails_the_rest(person: Person) -> None:
    person.ask(BREAKS)
    page = text_of(person.await_answer())

    assert "24 deelvragen mislukten" in page


def test_records_made_to_do_harm_are_shown_as_text(person: Person) -> None:
    person.ask(PARTIAL)
    page = person.await_answer()

    assert "<script>window" not in page
    assert "<img src=x" not in page
    assert "&lt;script&gt;" in page
    assert "\u202e" not in page
    assert "javascript:" not in page


def test_two_patients_in_one_answer_are_a_loud_warning(person: Person) -> None:
    person.ask(PARTIAL)

    assert "gegevens van meer dan één patiënt" in text_of(person.await_answer())


def test_while_loading_the_page_shows_what_there_is_and_refreshes_without_script(
    world: World, person: Person
) -> None:
    person.ask(SLOW)
    path = re.findall(r'data-parts="([^"]+)/parts"', person.page)[0]
    for _ in range(500):
        if "20 van 29" in text_of(person.open(path).text):
            break
        time.sleep(0.01)

    assert '<noscript><meta http-equiv="refresh" content="2"></noscript>' in person.page
    assert "Wordt opgehaald" in person.page
    assert "penicilline" in person.page

    world.node.go_on.set()
    done = person.await_answer()
    assert "http-equiv" not in done


def test_the_parts_of_a_page_are_sent_only_when_they_changed(person: Person) -> None:
    person.ask(FULL)
    person.await_answer()
    path = re.findall(r'data-parts="([^"]+)"', person.page)[0]

    first = person.http.get(path)
    again = person.http.get(path, params={"since": first.headers["x-version"]})

    assert (first.status_code, again.status_code) == (200, 204)
    assert again.headers["x-done"] == "yes"


def test_the_evidence_of_a_question_is_told_in_words(person: Person) -> None:
    person.ask(FULL)
    person.await_answer()
    path = re.findall(r'href="(/questions/[^"]+/evidence)"', person.page)[0]

    page = text_of(person.open(path).text)

    assert "gegevens opgevraagd" in page
    assert "T. Huisman-Test, huisarts" in page
    assert "niet bereikbaar" in page
    assert "GET Condition?patient.identifier=" in page


def test_a_log_that_cannot_be_read_says_so(world: World, person: Person) -> None:
    person.ask(FULL)
    person.await_answer()
    world.node.log_down = True
    path = re.findall(r'href="(/questions/[^"]+/evidence)"', person.page)[0]

    page = text_of(person.open(path).text)

    assert "Het logboek is nu niet te lezen" in page
    assert "probeer opnieuw" in page.lower()


def test_a_directory_that_is_away_is_told_on_the_form(world: World, person: Person) -> None:
    world.node.directory_down = True

    assert "Het adresboek is nu niet te lezen" in text_of(person.open("/find").text)


def test_a_fact_can_be_seen_with_all_its_codes(person: Person) -> None:
    person.ask(FULL)
    person.await_answer()
    path = re.findall(r'href="(/questions/[^"]+/facts/[^"]+)"', person.page)[0]

    page = text_of(person.open(path).text)

    assert "zib-Alert" in page
    assert "Johanna Jansen" in page
    assert person.open(path[:-3] + "xyz").status_code == 404


def test_the_network_page_names_the_nodes_and_their_addresses(person: Person) -> None:
    page = text_of(person.open("/network").text)

    assert "Ziekenhuis De Brug" in page
    assert "/fhir/STU3" in page
    assert "Adresboek" in page


def test_an_idle_session_ends_and_the_page_says_why(
    world: World, people: Callable[..., Person]
) -> None:
    someone = people().sign_in()
    world.clock.ahead += timedelta(minutes=16)

    page = text_of(someone.open("/find").text)

    assert "uw sessie voorbij is" in page


def test_an_unknown_page_tells_the_next_step_and_an_identifier(person: Person) -> None:
    reply = person.open("/nowhere")

    assert reply.status_code == 404
    assert "Begin opnieuw vanaf de startpagina" in text_of(reply.text)
    assert reply.headers["x-request-id"] in reply.text


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/find", b"proof=" + b"x" * 20000, 413),
        ("POST", "/find", b"\xff\xfe=1", 400),
        ("POST", "/find", b"&".join(b"a=1" for _ in range(100)), 400),
        ("DELETE", "/find", b"", 405),
        ("GET", "/static/../settings.py", b"", 404),
        ("GET", "/static/%2e%2e%2fsettings.py", b"", 404),
        ("POST", "/sign-in", b"", 403),
    ],
)
def test_odd_requests_get_a_page_that_says_no(
    person: Person, method: str, path: str, body: bytes, status: int
) -> None:
    reply = person.http.request(method, path, content=body)

    assert reply.status_code == status
    assert "<h1>" in reply.text


def test_a_changed_network_file_is_read_anew(world: World, person: Person) -> None:
    kept = world.network.read_text()
    changed = json.loads(kept)
    changed["nodes"][1]["name"] = "Ziekenhuis Nieuwe Naam"

    world.network.write_text(json.dumps(changed))
    page = person.open("/network").text
    world.network.write_text(kept)

    assert "Ziekenhuis Nieuwe Naam" in page


def test_english_pages_are_english(people: Callable[..., Person]) -> None:
    someone = people("en-GB,en;q=0.9").sign_in()
    someone.ask(FULL)
    page = text_of(someone.await_answer())

    assert "Done: 29 of 29 queries answered" in page
    assert "Allergies and intolerances" in page
    for dutch in ("Waarschuwingen", "niet gegeven", "Opgevraagd"):
        assert dutch not in page
