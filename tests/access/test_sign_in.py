"""Signing in at a provider: what comes back is verified, bound to this browser, and ends."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from access.records import JANSEN
from access.test_portal_browser import violations
from access.world import FULL, World, running
from playwright.sync_api import Browser, Page, expect

from openldn.access.professional.portal import portal
from openldn.access.professional.settings import PortalSettings
from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid
from openldn.base.settings import check, load
from openldn.testbench.simulators.dezi.state import State

GP, NURSE = "T. Huisman-Test", "N. Praktijk-Test"


@pytest.fixture(scope="module")
def town() -> Iterator[World]:
    """A portal with a provider where people sign in."""
    folder = Path(tempfile.mkdtemp(prefix="openldn-sign-in-"))
    with running(folder, provider=True) as world:
        yield world
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def dezi(town: World) -> Iterator[State]:
    """The provider; whatever a test did to it is undone."""
    assert town.dezi is not None
    yield town.dezi
    town.dezi.faults.clear()
    town.dezi.shape = "dezi"
    town.clock.ahead = timedelta()


class Person:
    """Someone with a browser that keeps cookies, at the portal and at the provider."""

    def __init__(self, town: World, language: str = "nl") -> None:
        headers = {"accept-language": language}
        self.http = httpx2.Client(headers=headers, timeout=30)
        self.town, self.page = town, ""

    def open(self, path: str, *, follow: bool = True) -> httpx2.Response:
        url = path if path.startswith("http") else f"{self.town.url}{path}"
        reply = self.http.get(url, follow_redirects=follow)
        self.page = reply.text
        return reply

    def way_back(self, name: str = GP) -> str:
        """Leave for the provider and choose; the address that leads back."""
        self.open("/sign-in")
        assert self.town.dezi is not None
        request = re.findall(r'name="request" value="([^"]+)"', self.page)[0]
        before = self.page.partition(f"<strong>{name}</strong>")[0]
        person = re.findall(r'name="person" value="([^"]*)"', before)[-1]
        url = f"{self.town.dezi.origin}/authorize"
        sent = self.http.post(url, data={"request": request, "person": person})
        return str(sent.headers["location"])

    def sign_in(self, name: str = GP) -> httpx2.Response:
        return self.open(self.way_back(name))

    def ask(self) -> None:
        self.open("/find")
        proof = re.findall(r'name="proof" value="([0-9a-f]+)"', self.page)[0]
        form = {"proof": proof, "bsn": JANSEN, "holder": FULL, "treating": "yes"}
        sent = self.http.post(f"{self.town.url}/find", data=form, follow_redirects=True)
        for _ in range(1_000):
            self.page = self.http.get(str(sent.url)).text
            if 'data-done="yes"' in self.page:
                return
        raise AssertionError("the answer did not end")

    @property
    def inside(self) -> bool:
        return self.http.get(f"{self.town.url}/session").status_code == 204


@pytest.fixture
def people(town: World, dezi: State) -> Iterator[Callable[..., Person]]:
    """Makes persons, and closes their browsers afterwards."""
    with ExitStack() as stack:

        def someone(language: str = "nl") -> Person:
            made = Person(town, language)
            stack.callback(made.http.close)
            return made

        yield someone


@pytest.fixture
def person(people: Callable[..., Person]) -> Person:
    return people()


def test_who_signs_in_at_the_provider_is_inside_and_named(person: Person) -> None:
    done = person.sign_in()

    assert done.status_code == 200
    assert "U bent ingelogd" in done.text
    assert person.inside
    assert GP in person.open("/find").text


def test_person_level_and_statement_travel_to_the_node_with_the_question(
    person: Person, town: World, dezi: State
) -> None:
    person.sign_in()
    person.ask()

    asked = town.node.asked[-1]
    assert asked["practitioner"]["name"] == GP
    assert asked["practitioner"]["loa"] == "http://eidas.europa.eu/LoA/high"
    assert asked["statement"].count(".") == 2


def test_the_older_claims_admit_too_but_give_no_statement(
    person: Person, town: World, dezi: State
) -> None:
    dezi.shape = "max"
    person.sign_in(NURSE)
    person.ask()

    asked = town.node.asked[-1]
    assert asked["practitioner"]["name"] == NURSE
    assert asked["practitioner"]["role"] == "30.000"
    assert "statement" not in asked


TOLD = {
    "mix_up": "niet vertrouwen",
    "wrong_signature": "niet vertrouwen",
    "alg_none": "niet vertrouwen",
    "alg_hs256": "niet vertrouwen",
    "expired": "niet vertrouwen",
    "wrong_nonce": "niet vertrouwen",
    "wrong_audience": "niet vertrouwen",
    "wrong_subject": "niet vertrouwen",
    "server_error": "niet bereikbaar",
    "statement_wrong_signature": "niet vertrouwen",
    "statement_other_keys": "niet vertrouwen",
    "statement_other_organization": "een organisatie die dit portaal niet gebruikt",
    "statement_expired": "ingetrokken of voorbij",
    "statement_revoked": "ingetrokken of voorbij",
    "low": "niet betrouwbaar genoeg",
}


@pytest.mark.parametrize(("fault", "words"), TOLD.items())
def test_whatever_is_wrong_nobody_comes_in_and_is_told_what_to_do(
    person: Person, dezi: State, fault: str, words: str
) -> None:
    dezi.set_fault(fault, 0)
    refused = person.open(person.way_back() if fault != "server_error" else "/sign-in")

    assert refused.status_code in {401, 503}
    assert words in refused.text
    assert "Opnieuw inloggen" in refused.text
    assert not person.inside
    for secret in ("oidc.", "dezi.", "jwt."):
        assert secret not in refused.text


def test_a_provider_that_is_away_is_told_in_both_languages(
    people: Callable[..., Person], dezi: State
) -> None:
    for language, words in (("nl", "niet bereikbaar"), ("en", "cannot be reached")):
        person = people(language)
        back = person.way_back()
        dezi.set_fault("broken", 0)

        refused = person.open(back)
        dezi.faults.clear()

        assert refused.status_code == 503
        assert words in refused.text


def test_an_answer_counts_once(person: Person) -> None:
    back = person.way_back()
    assert person.open(back).status_code == 200

    again = person.open(back)

    assert again.status_code == 401
    assert "hoort niet (meer) bij deze browser" in again.text


def test_an_answer_in_the_browser_of_another_admits_nobody(
    people: Callable[..., Person],
) -> None:
    attacker, victim = people(), people()
    back = attacker.way_back()

    refused = victim.open(back)

    assert refused.status_code == 401
    assert not victim.inside
    assert attacker.open(back).status_code == 401  # it was spent


@pytest.mark.parametrize(
    "change", ["", "?code=x", "?state=x&code=y", "?error=access_denied", "?state=&iss=", "?%00=%ff"]
)
def test_an_answer_that_was_not_asked_for_admits_nobody(person: Person, change: str) -> None:
    refused = person.open(f"/sign-in/return{change}")

    assert refused.status_code == 401
    assert not person.inside


def test_a_parameter_that_stands_twice_is_not_chosen_from(person: Person) -> None:
    back = person.way_back()

    refused = person.open(f"{back}&code=another")

    assert refused.status_code == 401
    assert not person.inside


def test_a_session_that_the_browser_brought_along_is_never_taken_over(
    person: Person, town: World
) -> None:
    person.sign_in()
    fixed = person.http.cookies["openldn-session"]

    person.sign_in(NURSE)

    assert person.http.cookies["openldn-session"] != fixed
    assert town.portal.sessions.find(fixed) is None


def test_cookies_of_signing_in_are_kept_from_scripts_and_from_other_sites(
    person: Person,
) -> None:
    left = person.open("/sign-in", follow=False).headers["set-cookie"]
    done = person.open(person.way_back())
    kept = [c for c in done.headers.get_list("set-cookie") if c.startswith("openldn-session")]

    assert "HttpOnly" in left and "SameSite=lax" in left and "Path=/sign-in/return" in left
    assert "HttpOnly" in kept[0] and "SameSite=strict" in kept[0]


def test_no_address_in_the_answer_leads_anywhere_else(person: Person) -> None:
    back = person.way_back()

    done = person.open(f"{back}&to=https://evil.example&redirect_uri=https://evil.example")

    assert "evil.example" not in done.text
    assert 'content="0; url=/find"' in done.text


def test_a_session_ends_with_the_statement(person: Person, town: World, dezi: State) -> None:
    dezi.statement_lifetime = timedelta(minutes=2)
    person.sign_in()
    dezi.statement_lifetime = timedelta(hours=8)
    town.clock.ahead = timedelta(seconds=90)
    assert person.inside

    town.clock.ahead = timedelta(seconds=120)

    assert not person.inside
    assert "uw sessie voorbij is" in person.open("/find").text


def test_a_session_ends_when_its_statement_is_revoked(
    person: Person, town: World, dezi: State
) -> None:
    person.sign_in()
    for statement in dezi.statements.values():
        statement.revoked = True
    town.clock.ahead = timedelta(seconds=61)

    town.run(town.portal.end_revoked())

    assert not person.inside


def test_a_status_that_cannot_be_known_leaves_the_session_open(
    person: Person, town: World, dezi: State
) -> None:
    person.sign_in()
    dezi.set_fault("broken", 0)
    town.clock.ahead = timedelta(seconds=61)

    town.run(town.portal.end_revoked())

    assert person.inside


def test_the_list_of_the_stand_in_is_closed_when_there_is_a_provider(person: Person) -> None:
    person.sign_in()
    person.open("/find")
    proof = re.findall(r'name="proof" value="([0-9a-f]+)"', person.page)[0]
    form = {"proof": proof, "practitioner": "hospital.1"}

    refused = person.http.post(f"{person.town.url}/sign-in", data=form)

    assert refused.status_code == 403


def test_who_comes_by_another_name_leaves_from_the_registered_one(
    person: Person, town: World
) -> None:
    port = town.url.rpartition(":")[2]

    led = person.open(f"http://localhost:{port}/sign-in", follow=False)

    assert led.headers["location"] == f"{town.url}/sign-in?here=1"


def test_signing_out_ends_the_session(person: Person) -> None:
    person.sign_in()
    person.open("/find")
    proof = re.findall(r'name="proof" value="([0-9a-f]+)"', person.page)[0]

    person.http.post(f"{person.town.url}/sign-out", data={"proof": proof})

    assert not person.inside


def test_people_on_their_way_are_bounded_and_who_is_late_is_forgotten(
    person: Person, town: World
) -> None:
    reception = town.portal.reception
    assert reception is not None
    back = person.way_back()
    town.clock.ahead = timedelta(seconds=601)
    before = reception.waiting

    person.open("/sign-in")

    assert reception.waiting == 1 <= before
    assert person.open(back).status_code == 401


def test_the_announced_statement_must_be_the_one_that_comes(person: Person, dezi: State) -> None:
    dezi.set_fault("other_statement", 0)

    refused = person.open(person.way_back())

    assert refused.status_code == 401
    assert not person.inside


GOOD = {
    "issuer": "https://login.example",
    "client_id": "portal",
    "public": "https://portal.example",
}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"issuer": "http://login.example"}, "https"),
        ({"public": "http://portal.example"}, "https"),
        ({"audience": "everyone"}, "audience"),
        ({"lowest": "firm"}, "lowest"),
        ({"key_file": "/nowhere.key"}, "key_file"),
        ({"ca": "/nowhere.pem"}, "ca"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_a_setting_that_cannot_work_is_named_at_the_start(
    town: World, change: dict[str, Any], word: str
) -> None:
    key = town.network.parent / "pki/gp/signing.key"

    with pytest.raises(LdnError) as caught:
        sign_in = {"key_file": str(key), **GOOD, **change}
        settings = check({"network": "n", "sign_in": sign_in}, PortalSettings, "test")
        portal(settings, town.clock, new_uuid)

    assert caught.value.issue is Issue.INVALID
    assert word in caught.value.message


def test_settings_of_signing_in_may_be_written_with_dots(tmp_path: Path) -> None:
    lines = ['network = "n"', *(f'sign_in.{k} = "{v}"' for k, v in GOOD.items())]
    (tmp_path / "portal.toml").write_text("\n".join([*lines, 'sign_in.key_file = "k"']))

    settings = load(tmp_path / "portal.toml", PortalSettings, {})

    assert settings.sign_in and settings.sign_in.issuer == GOOD["issuer"]


@pytest.fixture
def window(browser: Browser, town: World, dezi: State) -> Iterator[Callable[..., Page]]:
    """Opens a window on the portal; whatever it complains about fails the test."""
    complaints: list[str] = []
    with ExitStack() as stack:

        def opened(**options: Any) -> Page:
            context = browser.new_context(base_url=town.url, **{"locale": "nl-NL", **options})
            stack.callback(context.close)
            page = context.new_page()
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.on("console", lambda said: complaints.append(said.text))
            page.goto("/")
            return page

        yield opened
    expected = "Failed to load resource: the server responded with a status of 40"
    assert not [c for c in complaints if not c.startswith(expected)]


@pytest.mark.parametrize("scripts", [True, False])
def test_the_whole_way_in_a_real_browser(window: Callable[..., Page], scripts: bool) -> None:
    page = window(java_script_enabled=scripts)

    page.get_by_role("link", name="Inloggen als testgebruiker").click()
    expect(page.locator(".test")).to_contain_text("TEST")
    page.get_by_role("button", name=GP).click()
    page.wait_for_url("**/find")

    expect(page.locator(".who-name")).to_contain_text(GP)
    page.locator(".who button").click()
    page.wait_for_url(re.compile(r"/$"))


def test_who_cancels_or_used_a_means_too_weak_reads_what_to_do(
    window: Callable[..., Page], dezi: State
) -> None:
    page = window()
    page.goto("/sign-in")
    page.get_by_role("button", name="Annuleren").click()
    expect(page.locator("main")).to_contain_text("afgebroken")

    dezi.set_fault("low", 0)
    page.get_by_role("link", name="Opnieuw inloggen").click()
    page.get_by_role("button", name=GP).click()

    expect(page.locator("main")).to_contain_text("niet betrouwbaar genoeg")


@pytest.mark.parametrize(("locale", "scheme"), [("nl-NL", "light"), ("en-GB", "dark")])
def test_no_page_of_signing_in_has_a_barrier(
    window: Callable[..., Page], locale: str, scheme: str
) -> None:
    page = window(locale=locale, color_scheme=scheme, viewport={"width": 320, "height": 800})
    found, wide = [], []
    for path in ("/sign-in", "/sign-in?over=1", "/sign-in/return"):
        page.goto(path)
        found += violations(page)
        if page.evaluate("document.documentElement.scrollWidth") > 320:
            wide.append(path)

    assert found == []
    assert wide == []


def test_the_provider_speaks_both_languages(window: Callable[..., Page]) -> None:
    page = window()
    page.goto("/sign-in")
    page.get_by_role("link", name="English").click()

    expect(page.locator("html")).to_have_attribute("lang", "en")
    page.get_by_role("button", name=GP).click()
    page.wait_for_url("**/find")
