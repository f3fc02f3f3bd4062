"""The pages over plain HTTP: what they say, what they refuse, and what never leaves them.

Verifies docs/operate/administration.md.
"""

import asyncio
import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from pathlib import Path
from typing import Any

import httpx2
import pytest
from access.administration.world import (
    CLINIC,
    HOSTILE,
    THUMBPRINT,
    World,
    addresses,
    mixed,
    network,
    offer,
    reached,
    refusal,
    refused,
    remembered,
    tried,
    trouble,
    waiting,
)

from openldn.access.administration.desk import open_desk
from openldn.access.administration.pages import said_in
from openldn.access.administration.settings import AdministrationSettings
from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.observed import Observed
from openldn.node.reach.sayings import SAYINGS

PAGES = [
    f"/beheer/{n}"
    for n in (
        "",
        "keys",
        "credentials",
        "peers",
        "refusals",
        "documents",
        "outbox",
        "network",
        "map",
    )
]


class Operator:
    """Someone with a browser that keeps cookies and fills in forms, without JavaScript."""

    def __init__(self, url: str, language: str = "nl") -> None:
        self.http = httpx2.Client(base_url=url, headers={"accept-language": language}, timeout=30)
        self.page = ""

    def open(self, path: str) -> httpx2.Response:
        reply = self.http.get(path, follow_redirects=True)
        self.page = reply.text
        return reply

    def choose(self, node: str = "hospital") -> "Operator":
        self.open("/beheer/sign-in")
        self.send("/beheer/sign-in", node=node)
        return self

    def send(self, path: str, **fields: str) -> httpx2.Response:
        proof = re.search(r'name="proof" value="([0-9a-f]+)"', self.page)
        form = ({"proof": proof[1]} if proof else {}) | fields
        reply = self.http.post(path, data=form, follow_redirects=True)
        self.page = reply.text
        return reply


@pytest.fixture
def stranger(desk: World) -> Iterator[Operator]:
    made = Operator(desk.url)
    yield made
    made.http.close()


@pytest.fixture
def operator(stranger: Operator) -> Operator:
    return stranger.choose()


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", page)))


def test_a_well_node_says_so_in_words(operator: Operator) -> None:
    page = text_of(operator.open("/beheer/").text)

    assert "Alles in orde" in page
    assert "Wat er moet gebeuren" not in page


def test_a_sick_node_says_what_is_wrong_whose_turn_it_is_and_the_next_step(
    operator: Operator, desk: World
) -> None:
    desk.node.state, desk.node.refusals = trouble(), refused()

    page = text_of(operator.open("/beheer/").text)

    assert "Er moet nu iets gebeuren" in page
    assert "Het certificaat voor ondertekenen is ingetrokken" in page
    assert "Aan u" in page and "Aan Kliniek Het Veer" in page
    assert "Doe dit: Vraag een nieuw certificaat aan" in page
    assert "Wij weigerden: Kliniek Het Veer, 117× in 24 uur" in page
    assert "de handtekening is met deze sleutel gezet" in page


def test_only_the_last_day_is_asked_for_the_overview(operator: Operator, desk: World) -> None:
    operator.open("/beheer/")

    assert any("since=" in query and "count=500" in query for query in desk.node.asked)


def test_a_node_that_does_not_answer_is_itself_the_news(stranger: Operator) -> None:
    reply = stranger.choose("silent").open("/beheer/")

    assert reply.status_code == 200
    assert "Deze node antwoordt niet" in text_of(reply.text)
    assert "openldn doctor" in reply.text
    assert stranger.open("/beheer/keys").status_code == 502


def test_a_node_that_shows_another_certificate_gets_no_question(
    stranger: Operator, desk: World
) -> None:
    before = len(desk.node.certificates)

    reply = stranger.choose("other").open("/beheer/keys")

    assert reply.status_code == 502
    assert len(desk.node.certificates) == before


def test_the_node_is_asked_with_its_own_certificate(operator: Operator, desk: World) -> None:
    operator.open("/beheer/keys")

    assert desk.node.certificates and all(desk.node.certificates)


def test_keys_tell_their_end_their_store_and_their_revocation(
    operator: Operator, desk: World
) -> None:
    desk.node.state = trouble()

    page = text_of(operator.open("/beheer/keys").text)

    for told in ("nog 5 dagen", "3 dagen geleden", "PKCS#11", "ingetrokken", THUMBPRINT):
        assert told in page, told


def test_what_is_not_connected_is_told_with_what_it_means(operator: Operator) -> None:
    assert "Er is geen wallet" in operator.open("/beheer/credentials").text
    assert "gebruikt geen documenten" in operator.open("/beheer/documents").text


def test_refusals_tell_rule_clause_turn_step_and_identifier(
    operator: Operator, desk: World
) -> None:
    desk.node.refusals = [refusal(1, 5)]

    page = text_of(operator.open("/beheer/refusals").text)

    for told in (
        "wij weigerden",
        "Kliniek Het Veer",
        "de handtekening is met deze sleutel gezet",
        "jwt.signature",
        "RFC 7515 §5.2",
        "Controleer met welke sleutel",
        "5a0c1d9e-question-1",
    ):
        assert told in page, told


def test_refusals_come_page_by_page_and_back(operator: Operator, desk: World) -> None:
    desk.node.refusals = [refusal(n, 200 - n) for n in range(60, 0, -1)]
    seen: list[str] = []
    path = f"/beheer/refusals?peer={CLINIC}"
    while path:
        page = operator.open(path).text
        seen += re.findall(r"question-(\d+)<", page)
        found = re.search(r'<a class="button small second" href="([^"]+before=\d+)">Oudere', page)
        path = unescape(found[1]) if found else ""

    assert seen == [str(n) for n in range(60, 0, -1)]
    assert f'href="/beheer/refusals?peer={CLINIC}"' in operator.page


def test_a_filter_is_kept_in_the_form_and_in_the_language_link(
    operator: Operator, desk: World
) -> None:
    desk.node.refusals = refused()
    query = f"peer={CLINIC}&code=jwt.signature&direction=in&since=2026-01-01&until=2027-12-31"

    page = operator.open(f"/beheer/refusals?{query}").text

    assert f'<option value="{CLINIC}" selected>' in page
    assert '<option value="jwt.signature" selected>' in page
    assert 'value="2026-01-01"' in page
    english = re.search(r'href="(/beheer/language/en[^"]+)"', page)
    assert english is not None
    page = operator.open(unescape(english[1])).text
    assert 'lang="en"' in page and f'<option value="{CLINIC}" selected>' in page


def test_the_last_day_of_a_filter_counts_whole_by_dutch_time(
    operator: Operator, desk: World
) -> None:
    operator.open("/beheer/refusals?since=2027-03-01&until=2027-07-01")

    asked = desk.node.asked[-1]
    assert "since=2027-02-28T23:00:00.000Z" in asked
    assert "until=2027-07-01T22:00:00.000Z" in asked


@pytest.mark.parametrize(
    "query",
    [
        "patient=999911120",
        "peer=1&peer=2",
        "peer=abc",
        "code=%3Cscript%3E",
        "direction=sideways",
        "since=yesterday",
        "until=2027-02-30",
        "until=9999-12-31",
        "before=minus",
        "before=99999999999999999999",
    ],
)
def test_a_filter_that_cannot_be_read_is_a_page_with_status_400(
    operator: Operator, query: str
) -> None:
    reply = operator.open(f"/beheer/refusals?{query}")

    assert reply.status_code == 400
    page = text_of(reply.text)
    assert "Dit kunnen we niet lezen" in page and "probeer opnieuw" in page
    assert "999911120" not in page and "<script>" not in reply.text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/beheer/nowhere", 404),
        ("/beheer/keys/1", 404),
        ("/beheer/language/fr", 404),
        ("/beheer/static/../pages.py", 404),
        ("/beheer/static/secret.css", 404),
    ],
)
def test_what_is_not_there_is_a_page_that_says_so(
    operator: Operator, path: str, status: int
) -> None:
    reply = operator.open(path)

    assert reply.status_code == status
    assert '<p class="test"><strong>TEST</strong>' in reply.text


def test_nobody_sees_a_node_without_signing_in(stranger: Operator, desk: World) -> None:
    for path in PAGES:
        reply = stranger.open(path)
        assert reply.url.path == "/beheer/sign-in", path
    assert desk.node.asked == []


def test_a_session_ends_by_itself_and_the_next_page_says_so(
    operator: Operator, desk: World
) -> None:
    desk.clock.ahead = timedelta(minutes=16)

    assert "uw sessie voorbij is" in operator.open("/beheer/keys").text


def test_signing_out_ends_the_session(operator: Operator) -> None:
    operator.open("/beheer/")
    operator.send("/beheer/sign-out")

    assert operator.open("/beheer/keys").url.path == "/beheer/sign-in"


@pytest.mark.parametrize(
    ("fields", "headers", "status"),
    [
        ({"node": "hospital", "proof": "0" * 64}, {}, 403),
        ({"node": "hospital"}, {}, 403),
        ({"node": "hospital"}, {"sec-fetch-site": "cross-site"}, 403),
    ],
)
def test_a_form_that_is_not_ours_is_refused(
    stranger: Operator, fields: dict[str, str], headers: dict[str, str], status: int
) -> None:
    stranger.open("/beheer/sign-in")

    reply = stranger.http.post("/beheer/sign-in", data=fields, headers=headers)

    assert reply.status_code == status


def test_a_node_that_is_not_listed_cannot_be_chosen(stranger: Operator) -> None:
    stranger.open("/beheer/sign-in")

    assert stranger.send("/beheer/sign-in", node="../../etc").status_code == 400


def test_a_foreign_name_for_our_address_is_refused(desk: World) -> None:
    reply = httpx2.get(f"{desk.url}/beheer/sign-in", headers={"host": "evil.example"})

    assert reply.status_code == 403


def test_the_language_link_leads_nowhere_else(operator: Operator) -> None:
    for target in ("//evil.example", "https://evil.example", "/\\evil.example"):
        reply = operator.http.get("/beheer/language/en", params={"to": target})
        assert reply.headers["location"] == "/beheer/", target


def test_every_page_forbids_foreign_and_inline_content_and_is_not_kept(
    operator: Operator, desk: World
) -> None:
    desk.node.state, desk.node.refusals = trouble(), refused()
    for path in [*PAGES, "/beheer/sign-in", "/beheer/nowhere"]:
        reply = operator.open(path)
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy, path
        assert reply.headers["cache-control"] == "no-store", path
        assert len(re.findall(r"<h1[ >]", reply.text)) == 1, path
        assert '<html lang="nl">' in reply.text and 'href="#main"' in reply.text
        assert '<p class="test"><strong>TEST</strong>' in reply.text
        assert HOSTILE not in reply.text


def test_cookies_cannot_be_read_or_sent_along_by_others(operator: Operator) -> None:
    operator.open("/beheer/sign-in")
    reply = operator.http.post(
        "/beheer/sign-in",
        data={
            "node": "hospital",
            "proof": re.findall(r'name="proof" value="([0-9a-f]+)"', operator.page)[0],
        },
    )

    [given] = [c for c in reply.headers.get_list("set-cookie") if "openldn-desk=" in c]
    assert "HttpOnly" in given and "SameSite=strict" in given and "Path=/beheer" in given


def test_administration_does_not_open_without_a_way_to_sign_in(tmp_path: Path) -> None:
    async def run() -> None:
        settings = AdministrationSettings(network=str(tmp_path / "network.json"))
        async with open_desk(settings, utc_now, new_uuid):
            raise AssertionError("it opened")

    with pytest.raises(LdnError) as refused_to:
        asyncio.run(run())

    assert refused_to.value.issue is Issue.INVALID
    assert "insecure_simulated_operators" in refused_to.value.message


def test_each_function_is_asked_itself_and_silence_is_told_with_the_next_step(
    operator: Operator, desk: World
) -> None:
    desk.node.status = remembered(
        ("create", 403, "caller.scope"), ("localize", 503, HOSTILE)
    ).told()

    reply = operator.open("/beheer/network")

    page = text_of(reply.text)
    assert "Lokalisatie" in page and "antwoordt, maar faalde 1 keer" in page
    assert "Toestemming" in page and "antwoordt niet; start haar" in page
    assert "Een functie antwoordt niet." in page
    assert "caller.scope" in page and "1,5 ms" in page
    assert HOSTILE not in reply.text


def test_a_function_that_tells_nonsense_breaks_no_page(operator: Operator, desk: World) -> None:
    desk.node.status = {"milliseconds": [1], "refusals": "x", "failures": True, "requests": None}

    assert "antwoordt" in text_of(operator.open("/beheer/network").text)


def test_a_slow_function_asks_attention(operator: Operator, desk: World) -> None:
    kept = remembered(milliseconds=1500.0)
    assert "antwoordt, maar traag" not in _network(operator, desk, kept)
    for _ in range(100):
        kept.note("localize", 200, 1500.0, None)

    assert "antwoordt, maar traag" in _network(operator, desk, kept)


def _network(operator: Operator, desk: World, kept: Observed) -> str:
    desk.node.status = kept.told()
    return text_of(operator.open("/beheer/network").text)


def test_every_address_is_told_with_its_last_success_and_its_last_failure(
    operator: Operator, desk: World
) -> None:
    desk.node.addresses = mixed()

    reply = operator.open("/beheer/network")

    page = text_of(reply.text)
    assert "Adressen 900" in page and "Alleen de eerste 4 staan hier" in page
    assert "Werkt niet: 2." in page and "om de 60 seconden" in page
    rows = re.findall(r"<tr role=\"row\">.*?</tr>", reply.text, re.DOTALL)
    veer, vijzel, brug = (
        text_of(next(r for r in rows if f"<span>{name}<br>" in r))
        for name in ("Kliniek Het Veer", "Apotheek De Vijzel", "Ziekenhuis De Brug")
    )
    assert "Werkt " in veer and "weigert ons" in veer and "nooit" not in veer
    assert "Verouderd" in vijzel and "te lang geleden" in vijzel and "nooit" in vijzel
    assert "Werkt niet" in brug and "geen antwoord op tijd" in brug
    assert page.index("Ziekenhuis De Brug https") < page.index("Apotheek De Vijzel https")
    assert "<script>window" not in reply.text and "<img" not in reply.text


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (None, "zegt niet of de adressen werken. this is for the operator"),
        ({"every": 0, "addresses": []}, "probeert geen adressen"),
        ({"every": True, "addresses": "x", "total": "NaN"}, "probeert geen adressen"),
        ({"every": 60.5, "addresses": [], "trouble": 1}, "nog geen adres in de adressering"),
        (addresses(tried("Kliniek Het Veer", 1)), "Elk adres werkt."),
        (addresses({"kind": "ok"}), "te lang geleden geprobeerd"),
        (addresses({"kind": 7, "name": ["x"], "ok": {}}), "Werkt niet: 1."),
    ],
)
def test_whether_addresses_work_is_never_guessed(
    operator: Operator, desk: World, told: dict[str, Any] | None, said: str
) -> None:
    """What the directory does not tell, or tells unintelligibly, is never shown as working."""
    desk.node.addresses = told

    page = text_of(operator.open("/beheer/network").text)

    assert said in page


def test_addresses_are_told_in_english_too(desk: World) -> None:
    desk.node.addresses = mixed()

    visitor = Operator(desk.url, "en").choose()
    page = text_of(visitor.open("/beheer/network").text)
    visitor.http.close()

    assert "Addresses 900" in page and "no answer in time" in page and "Out of date" in page


WAY = "/beheer/map?from=hospital&to=90000002&exchange=bgz&purpose=TREAT&try=1"


def test_the_map_tells_who_is_connected_to_whom_by_which_agreement(operator: Operator) -> None:
    page = operator.open("/beheer/map").text

    rows_ = [text_of(r) for r in re.findall(r"<tr role=\"row\">.*?</tr>", page, re.S)]
    [pharmacy] = [r for r in rows_ if r.startswith(" Apotheek")]
    assert "LSP afspraak lsp" in pharmacy
    assert "Biedt dit aan STU3 · gericht bevragen Kliniek Het Veer Ziekenhuis De Brug" in pharmacy
    [gone] = [r for r in rows_ if r.startswith(" Revalidatiecentrum")]
    assert "niet actief" in gone and "Kliniek" not in gone
    assert page.count('<line class="edge own"') == 2  # one of them explains the other
    assert page.count('<line class="edge broker"') == 3
    assert page.count('<circle class="spot') == 4


def test_a_large_network_is_drawn_by_infrastructure_and_told_whole(
    operator: Operator, desk: World
) -> None:
    many = [
        {"ura": f"9001{n:04}", "name": f"Praktijk {n}", "active": True, "offers": [offer("nuts")]}
        for n in range(200)
    ]
    desk.node.network = network(*many)

    page = operator.open("/beheer/map").text

    assert page.count('<circle class="spot') == 3
    assert ">200</text>" in page
    assert "Praktijk 199" in page
    assert "en nog 187" in page


def test_nothing_is_tried_before_it_is_asked(operator: Operator, desk: World) -> None:
    operator.open("/beheer/map")
    operator.open("/beheer/map?from=hospital&to=90000002&exchange=bgz")

    assert desk.node.wanted == []


def test_a_way_that_is_open_is_told_step_by_step(operator: Operator, desk: World) -> None:
    page = text_of(operator.open(WAY).text)

    assert "Van Ziekenhuis De Brug naar Kliniek Het Veer" in page
    assert "Ja, A kan B bereiken." in page
    assert "9. Beleid in orde De partij weigerde alleen omdat wij geen patiënt noemden" in page


@pytest.mark.parametrize(
    ("failing", "key", "turn"),
    [
        ("participant", "directory.away", "Aan het adresboek"),
        ("endpoint", "endpoint.none", "Aan Kliniek Het Veer"),
        ("road", "road.unable", "Aan u"),
        ("dialect", "dialect.fhir", "Aan Kliniek Het Veer"),
        ("tls", "tls.unreachable", "Aan Kliniek Het Veer"),
        ("trust", "trust.own-ended", "Aan u"),
        ("token", "token.refused", "Aan Kliniek Het Veer"),
        ("capability", "capability.none", "Aan Kliniek Het Veer"),
        ("policy", "policy.party", "Aan Kliniek Het Veer"),
    ],
)
@pytest.mark.parametrize("language", ["nl", "en"])
def test_the_step_that_fails_is_told_in_words_with_whose_turn_and_the_next_step(
    desk: World, failing: str, key: str, turn: str, language: str
) -> None:
    desk.node.reached = reached(failing, key)
    operator = Operator(desk.url, language).choose()

    page = text_of(operator.open(WAY).text)
    operator.http.close()

    saying = SAYINGS[key]
    assert said_in(language, key, saying.text)[0] in page
    assert said_in(language, f"{key}.advice", saying.advice)[0] in page
    if language == "nl":
        assert turn in page and saying.text not in page


def test_a_node_that_cannot_try_is_itself_the_answer(operator: Operator) -> None:
    page = text_of(operator.open(WAY.replace("from=hospital", "from=silent")).text)

    assert "De weg kon niet worden geprobeerd" in page


def test_the_map_takes_no_other_fields(operator: Operator, desk: World) -> None:
    assert operator.open("/beheer/map?bsn=999911120").status_code == 400
    assert operator.open("/beheer/map?to=1&to=2").status_code == 400
    assert desk.node.wanted == []


def test_whatever_a_node_tells_of_the_network_stays_text(operator: Operator, desk: World) -> None:
    odd = {"ura": HOSTILE, "name": HOSTILE, "active": True, "offers": [offer(HOSTILE), "x"]}
    desk.node.network = network(odd) | {"exchanges": [{"code": HOSTILE, "title": None}, 5]}
    step = {"step": HOSTILE, "came": HOSTILE, "key": HOSTILE, "text": HOSTILE, "turn": HOSTILE}
    desk.node.reached = {"verdict": HOSTILE, "steps": [{**step, "advice": HOSTILE}, 7]}

    page = operator.open(WAY).text

    assert "<script>window" not in page and "<img src=x" not in page


def test_the_outbox_tells_what_was_given_up_who_is_silent_and_pages_on(
    operator: Operator, desk: World
) -> None:
    assert "Er is niets opgegeven" in text_of(operator.open("/beheer/outbox").text)
    desk.node.messages = waiting()

    page = operator.open("/beheer/outbox").text
    said = text_of(page)
    assert "Opgegeven 50" in said
    assert "54 aan u" in said
    assert "Aan Kliniek Het Veer" in said and "geen antwoord sinds" in said
    assert "de oudste sinds" in said
    assert "mislukte pogingen: 1" in said
    rest = re.search(r'href="(/beheer/outbox\?[^"]*after=50)"', page)
    assert rest is not None
    assert "Opgegeven 4" in text_of(operator.open(unescape(rest[1])).text)
    assert operator.open("/beheer/outbox?x=1").status_code == 400


def test_what_the_node_refuses_of_a_message_is_told_on_the_page(
    operator: Operator, desk: World
) -> None:
    desk.node.messages = waiting()
    dead, busy = desk.node.messages[1]["id"], desk.node.messages[-1]["id"]
    operator.open("/beheer/outbox")

    reply = operator.send("/beheer/outbox", act="drop", id=dead, reason=" ", state="dead")
    assert reply.status_code == 400
    assert "Geef een reden van 3 tot 200 tekens" in text_of(reply.text)
    reply = operator.send("/beheer/outbox", act="retry", id=busy, state="queued")
    assert reply.status_code == 409
    assert "Het is intussen onderweg of afgehandeld" in text_of(reply.text)
    assert operator.send("/beheer/outbox", act="burn", id=dead).status_code == 400
    assert (
        operator.http.post("/beheer/outbox", data={"act": "retry", "id": dead}).status_code == 403
    )
    assert desk.node.acts == []
