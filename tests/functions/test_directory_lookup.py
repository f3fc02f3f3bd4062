"""Finding in a copy of the directory: specification of addressing §7.6 (rules D15-D18, D20)."""

import asyncio
import random
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from conftest import Databases
from functions.directory_cases import Waited, endpoint, organization, told, versioned
from hypothesis import given
from hypothesis import strategies as st

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.addressing.aggregate import Placed
from openldn.functions.addressing.concepts import CATEGORIES_OF, covers
from openldn.functions.addressing.copied import CopiedDirectory
from openldn.functions.addressing.directories import Directories
from openldn.functions.addressing.lookup import Book, Need, Offered, Wanted, choose
from openldn.functions.addressing.model import BGZ, Endpoint, Organization
from openldn.functions.addressing.replica import page_of
from openldn.functions.addressing.resources import entries
from openldn.functions.addressing.store import Replicas
from openldn.functions.addressing.update import TYPES, Feed, Follower
from openldn.functions.addressing.words import distance, likeness, names_of, town, words

NOW = datetime(2027, 3, 2, 9, 14, tzinfo=UTC)
R4 = ["application/fhir+json; fhirVersion=4.0"]
D = "https://lrza.example/fhir"


def at(id: str, **more: Any) -> Resource:
    whole = {"payloadType": [{"coding": [{"code": BGZ}]}], "payloadMimeType": R4, **more}
    return endpoint(id, **whole)


def chosen(*resources: Resource, need: Need | None = None, now: datetime = NOW) -> str:
    found = choose([Offered(Placed(D, r)) for r in resources], need or Need(BGZ), now)
    return str(found.endpoint.resource["id"]) if found else ""


@pytest.mark.parametrize(
    "more",
    [
        {"status": "off"},
        {"status": "suspended"},
        {"status": "entered-in-error"},
        {"period": {"end": "2027-03-01"}},
        {"period": {"start": "2027-03-03"}},
        {"period": {"end": "2027-03-02T09:14:00Z"}},
        {"payloadType": [{"coding": [{"code": "any"}]}]},
        {"connectionType": {"code": "ihe-xds"}},
    ],
)
def test_d15_what_is_not_active_now_or_serves_something_else_is_skipped(more: Resource) -> None:
    assert chosen(at("a", **more)) == ""
    assert chosen(at("a", **more), at("b")) == "b"


def test_d16_at_a_cut_over_exactly_one_is_chosen() -> None:
    moment = "2027-03-02T09:14:00Z"
    old = at("old", period={"start": "2020-01-01", "end": moment})
    new = at("new", period={"start": moment})

    before = datetime(2027, 3, 2, 9, 13, 59, 999999, tzinfo=UTC)
    for now, id in ((before, "old"), (NOW, "new")):
        valid = [Offered(Placed(D, r)) for r in (old, new)]
        found = choose(valid, Need(BGZ), now)
        assert found is not None
        assert (found.endpoint.resource["id"], found.others) == (id, ())


def test_d17_an_endpoint_that_does_not_tell_its_version_is_never_chosen_for_fhir() -> None:
    for mimes in ([], ["application/fhir+json"], ["application/pdf"]):
        assert chosen(at("a", payloadMimeType=mimes)) == ""
    assert chosen(at("a"), need=Need(BGZ, fhir=FhirVersion.STU3)) == ""
    assert chosen(at("a"), need=Need(BGZ, fhir=FhirVersion.R4)) == "a"
    dicom = at("d", connectionType={"code": "dicom-wado-rs"}, payloadMimeType=[])
    assert chosen(dicom, need=Need(BGZ, connection="dicom-wado-rs")) == "d"


def test_of_several_the_services_then_the_newest_then_the_lowest_id() -> None:
    late = at("b", period={"start": "2026-01-01"})
    found = choose(
        [
            Offered(Placed(D, late)),
            Offered(Placed(D, at("c"))),
            Offered(Placed(D, at("a"))),
            Offered(Placed(D, at("z")), by_service=True),
        ],
        Need(BGZ),
        NOW,
    )

    assert found is not None
    assert found.endpoint.resource["id"] == "z"
    assert found.others == ("b", "a", "c")


def test_a_category_is_covered_in_either_generation() -> None:
    assert covers([BGZ], "Condition") and covers(["Condition"], "Condition")
    assert not covers([BGZ], "Imaging") and not covers([], "Condition")
    assert chosen(at("a"), need=Need(category="Condition")) == "a"
    assert chosen(at("a"), need=Need(category="Imaging")) == ""
    assert all(found for found in CATEGORIES_OF.values())


def of(id: str) -> Resource:
    return {"reference": f"Organization/{id}"}


def service(id: str, owner: str, kind: str, **more: Any) -> Resource:
    return {
        "resourceType": "HealthcareService",
        "id": id,
        "providedBy": of(owner),
        "name": kind,
        "type": [{"coding": [{"code": "165", "display": kind}]}],
        **more,
    }


def location(id: str, owner: str, city: str) -> Resource:
    return {
        "resourceType": "Location",
        "id": id,
        "managingOrganization": of(owner),
        "address": {"city": city},
    }


ENTRIES = [
    organization("elder", "00000001", name="Ziekenhuis St. Elder", address=[{"city": "Goes"}]),
    organization("linde", "00000002", name="Kliniek De Linde", alias=["Lindekliniek"]),
    organization("zuid", "00000003", name="Apotheek Zuid", address=[{"city": "Den Haag"}]),
    organization("noord", "00000004", name="Huisartsenpraktijk Noordéénd"),
    organization("sint", "00000005", name="Sint Eldenaar Ziekenhuis"),
    organization("dicht", "00000006", name="Ziekenhuis St. Elder (oud)", active=False),
    at("e-elder", managingOrganization=of("elder")),
    at("e-card", address="https://card.example/fhir"),
    at("e-linde", managingOrganization={"identifier": {"system": URA_SYSTEM, "value": "00000002"}}),
    at("e-error", managingOrganization=of("zuid"), status="entered-in-error"),
    service("card", "elder", "Cardiologie", endpoint=[{"reference": "Endpoint/e-card"}]),
    {**service("lost", "elder", "Dermatologie"), "providedBy": None},
    location("l1", "linde", "'s-Hertogenbosch"),
]
del ENTRIES[11]["providedBy"]
BOOK = Book([Placed(D, r) for r in ENTRIES])


def found(**more: Any) -> list[str]:
    return [f.id for f in BOOK.find(Wanted(**more), NOW)]


@pytest.mark.parametrize(
    "typed",
    [
        "Ziekenhuis St. Elder",
        "st elder",
        "Sint Elder",
        "sint-elder",
        "ELDER ZIEKENHUIS",
        "zkh elder",
        "ziekehuis elder",
        "ziekenhuis edler",
        "Ziekenhuís Élder",
        "ziekenh eld",
    ],
)
def test_a_name_is_found_as_people_type_it(typed: str) -> None:
    assert found(name=typed)[0] == "elder"


def test_what_fits_best_comes_first() -> None:
    assert found(name="sint eld") == ["elder", "sint"]
    assert found(name="sint eldenaar") == ["sint"]
    assert found(name="ziekenhuis", inactive=True)[0] in {"elder", "sint"}
    assert found(name="noordeend") == ["noord"]
    assert found(name="lindekliniek") == ["linde"]
    assert found(name="linde kliniek") == ["linde"]
    assert found(name="huis artsen praktijk") == ["noord"]


@pytest.mark.parametrize("typed", ["", " ", ".", "xyzzy", "elder apotheek", "de" * 500, "*", "%"])
def test_what_fits_nobody_finds_nobody_or_everybody_when_nothing_is_asked(typed: str) -> None:
    names = found(name=typed)

    assert names == [] or not typed


def test_by_number_town_service_and_capability() -> None:
    assert found(ura=Ura("00000003")) == ["zuid"]
    assert found(ura=Ura("00000099")) == []
    assert found(town="goes") == ["elder"]
    assert found(town="Den Bosch") == found(town="s Hertogenbosch") == ["linde"]
    assert found(town="'s-Gravenhage") == found(town="den haag") == ["zuid"]
    assert found(service="cardiologie") == found(service="165") == ["elder"]
    assert found(service="cardiolgie") == ["elder"]
    assert found(need=Need(BGZ)) == ["linde", "elder"]
    assert found(need=Need(category="Imaging")) == []
    assert found(name="elder", town="Goes", service="cardiologie", need=Need(BGZ)) == ["elder"]
    assert found(name="elder", town="Den Haag") == []


def test_who_no_longer_takes_part_is_shown_only_when_asked() -> None:
    assert "dicht" not in found(name="elder")
    assert "dicht" in found(name="elder", inactive=True)


def test_d18_what_was_entered_in_error_is_hidden() -> None:
    with pytest.raises(LdnError, match="does not offer this exchange"):
        BOOK.endpoint(Ura("00000003"), Need(BGZ), NOW)
    assert BOOK.resource(D, "Endpoint/e-error") is None


def test_d20_in_the_national_copy_an_orphan_is_kept_but_hidden() -> None:
    assert BOOK.resource(D, "HealthcareService/lost") is None
    assert found(service="dermatologie") == []
    assert any(p.resource["id"] == "lost" for p in BOOK.entries)


def test_the_address_of_a_service_goes_before_that_of_the_organization() -> None:
    choice = BOOK.endpoint(Ura("00000001"), Need(BGZ), NOW)

    assert choice.endpoint.resource["id"] == "e-card"
    assert choice.others == ("e-elder",)


def test_who_is_not_there_or_no_longer_active_has_no_address() -> None:
    for ura in ("00000006", "00000099"):
        with pytest.raises(LdnError, match="no active care provider") as refusal:
            BOOK.endpoint(Ura(ura), Need(BGZ), NOW)
        assert refusal.value.issue is Issue.NOT_FOUND


def test_another_directory_does_not_add_an_address_to_a_provider() -> None:
    number = {"identifier": {"system": URA_SYSTEM, "value": "00000002"}}
    stolen = at("theirs", managingOrganization=number, period={"start": "2027-01-01"})
    more = Book([*BOOK.entries, Placed("https://other.example", stolen)])

    choice = more.endpoint(Ura("00000002"), Need(BGZ), NOW)

    assert (choice.endpoint.resource["id"], choice.others) == ("e-linde", ())


def test_no_more_than_a_hundred_are_given() -> None:
    many = Book([Placed(D, organization(f"o{n}", name=f"Zorg {n}")) for n in range(150)])

    assert len(many.find(Wanted(name="zorg", limit=1000), NOW)) == 100
    assert many.find(Wanted(limit=-1), NOW) == []


@given(st.randoms(use_true_random=False))
def test_the_order_of_the_copy_makes_no_difference(chance: random.Random) -> None:
    shuffled = list(BOOK.entries)
    chance.shuffle(shuffled)
    other = Book(shuffled)

    for wanted in (Wanted(name="elder"), Wanted(), Wanted(need=Need(BGZ))):
        assert other.find(wanted, NOW) == BOOK.find(wanted, NOW)
    assert other.endpoint(Ura("00000001"), Need(BGZ), NOW) == (
        BOOK.endpoint(Ura("00000001"), Need(BGZ), NOW)
    )


LETTERS = st.text("abcde", max_size=8)


@given(LETTERS, LETTERS, st.integers(0, 3))
def test_distance_is_that_of_the_plain_definition(one: str, other: str, most: int) -> None:
    assert distance(one, other, most) == min(_plain(one, other), most + 1)
    assert distance(one, other, most) == distance(other, one, most)


def _plain(one: str, other: str) -> int:
    """Optimal string alignment, whole table."""
    table = [
        [i + j if not i * j else 0 for j in range(len(other) + 1)] for i in range(len(one) + 1)
    ]
    for i in range(1, len(one) + 1):
        for j in range(1, len(other) + 1):
            cost = one[i - 1] != other[j - 1]
            ways = [table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + cost]
            if i > 1 and j > 1 and one[i - 1] == other[j - 2] and one[i - 2] == other[j - 1]:
                ways.append(table[i - 2][j - 2] + 1)
            table[i][j] = min(ways)
    return table[-1][-1]


@given(st.text(max_size=30))
def test_words_are_their_own_words(text: str) -> None:
    once = words(text)

    assert words(" ".join(once)) == once
    assert names_of([(1, text)]).find(text).keys() <= {1}


@st.composite
def typings(draw: st.DrawFn) -> tuple[str, str]:
    """A word, and how somebody may type it: its begin, or with letters off."""
    word = draw(st.text("abcd", min_size=1, max_size=10))
    typed = word[: draw(st.integers(1, 10))] if draw(st.booleans()) else word
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(typed)))
        typed = typed[:at] + draw(st.sampled_from(["", "a", "x"])) + typed[at + 1 :]
    return typed, word


@given(typings())
def test_the_index_misses_no_word_that_fits(pair: tuple[str, str]) -> None:
    typed, word = pair

    found = names_of([(1, word)]).find(typed)

    assert (likeness(typed, word) > 0 and bool(words(typed))) <= (1 in found)


def test_likeness_allows_more_in_longer_words() -> None:
    assert likeness("zie", "zoe") == 0
    assert likeness("zuid", "ziud") == likeness("zuid", "zuis") == 0.8
    assert likeness("cardiologie", "kardiologei") == 0.65
    assert town("Den Bosch") == town("'s-Hertogenbosch")


HOSPITAL = Ura("00000001")
ELDER = Organization(HOSPITAL, "Ziekenhuis St. Elder", True, "ziekenhuis")
SERVED = Endpoint(
    holder=HOSPITAL,
    infrastructure="zorgplatform",
    fhir=FhirVersion.STU3,
    url="https://a.example/fhir/STU3",
    authorization_server="https://a.example/oauth2/00000001",
    payloads=(BGZ,),
)


def test_the_port_over_a_copy_gives_what_the_directory_gives(databases: Databases) -> None:
    async def run() -> None:
        async with databases.pool() as pool:
            store = Replicas(pool)
            await store.prepare()
            http = HttpClient()
            feed = Feed(http, D, lambda: NOW, Waited())
            root = Follower(store, feed)
            copy = CopiedDirectory(Directories(store, root, lambda base: feed), lambda: NOW)
            with pytest.raises(LdnError, match="not copied to its end yet"):
                await copy.organizations()
            listed = [told(versioned(e, 1)) for e in entries(ELDER, [SERVED])]
            page = page_of({"type": "history", "entry": listed}, frozenset(TYPES[root.mode]))
            await store.apply(D, page.versions)
            await store.advance(D, dict.fromkeys(TYPES[root.mode], NOW))

            assert await copy.organizations() == [ELDER]
            assert await copy.organization(HOSPITAL) == ELDER
            assert await copy.endpoint(HOSPITAL, BGZ) == SERVED
            assert [f.ura for f in await copy.find(Wanted(name="sint elder"))] == [HOSPITAL]
            with pytest.raises(LdnError, match="knows no care provider"):
                await copy.organization(Ura("00000002"))

            twin = replace(ELDER, name="Dubbel")
            again = {**entries(twin, [])[0], "id": "another"}
            double = page_of(
                {"type": "history", "entry": [told(versioned(again, 1))]},
                frozenset(TYPES[root.mode]),
            )
            await store.apply(D, double.versions)
            assert await copy.organization(HOSPITAL) == ELDER  # until a pass is complete
            await store.advance(D, dict.fromkeys(TYPES[root.mode], NOW.replace(minute=30)))
            with pytest.raises(LdnError, match="2 entries with URA"):
                await copy.organization(HOSPITAL)

    asyncio.run(run())
