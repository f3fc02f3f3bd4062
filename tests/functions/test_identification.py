"""People and their numbers, as SBV-Z tells. Source: sbv-z.nl; generic functions §1.

The same cases run against the register itself and over both wires, on real mutual TLS.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from trust.network import connected
from trust.parties import HOSPITAL, PRACTICE, World

from openldn.app.simulators import register_of_people
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, server_context, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.identifiers import Bsn, bsn_reader
from openldn.functions.identification import plain, sbvz
from openldn.functions.identification.client import WIRES, persons
from openldn.functions.identification.model import (
    FIELDS,
    Answer,
    Document,
    Outcome,
    Person,
    Persons,
    document_number,
    require_askable,
)
from openldn.functions.identification.settings import IdentificationSettings, persons_of
from openldn.testbench.simulators.sbvz.api import PATH, app
from openldn.testbench.simulators.sbvz.register import Registered, SimulatedRegister
from openldn.testbench.simulators.sbvz.settings import SbvzSettings

ANNA = Person(
    born="19700131",
    sex="V",
    surname="Bakker",
    prefix="de",
    given="Anna Maria",
    initial="A",
    birthplace="Zwolle",
    postal_code="8011AB",
    house_number="12",
    house_letter="b",
    street="Kerkweg",
    town="Zwolle",
)
TWIN = replace(ANNA, given="Els", initial="E", house_number="14")
HIDDEN = replace(ANNA, surname="Vos", postal_code="9401CD")
OF_ANNA, OF_TWIN, OF_HIDDEN, OF_NOBODY = (
    Bsn.parse(t) for t in ("999911120", "999990019", "123456782", "111222333")
)
PASSPORT = "NX1234567"
REGISTER = SimulatedRegister(
    (
        Registered(
            OF_ANNA,
            ANNA,
            {(Document.PASSPORT, PASSPORT): True, (Document.DRIVING_LICENSE, "1234567890"): False},
        ),
        Registered(OF_TWIN, TWIN),
        Registered(OF_HIDDEN, HIDDEN, examined=True, secret=True, deceased=True),
    )
)
BY_NAME = Person(born="19700131", sex="V", surname="bakker")
BY_ADDRESS = Person(born="19700131", sex="V", postal_code="8011AB", house_number="12")
Case = Callable[[Persons], Awaitable[Any]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def over(wire: str, world: World, case: Case, register: Persons = REGISTER) -> Any:
    """The case against the register, in process or over this wire."""

    async def asked() -> Any:
        if wire == "itself":
            return await case(register)
        application = app(register, world.clock, new_uuid)
        context = server_context(world.identity(HOSPITAL))
        async with (
            serving(application, "127.0.0.1", 0, context) as port,
            connected(world.identity(PRACTICE), HOSPITAL) as client,
        ):
            path = PATH if wire == "sbvz-mrt21" else "/persons"
            return await case(persons(wire, client, f"https://127.0.0.1:{port}{path}", new_uuid))

    return asyncio.run(asked())


EACH = pytest.mark.parametrize("wire", ["itself", *WIRES])


@EACH
def test_a_person_is_found_by_address_and_what_is_registered_comes_back(
    world: World, wire: str
) -> None:
    found = over(wire, world, lambda at: at.find(BY_ADDRESS))

    assert found == Answer(Outcome.FITS, OF_ANNA, ANNA, codes=(sbvz.FOUND,))


@EACH
def test_what_differs_is_named_and_nothing_else(world: World, wire: str) -> None:
    asked = replace(BY_ADDRESS, given="Annie", birthplace="Assen", street="Kerkweg")

    found = over(wire, world, lambda at: at.find(asked))

    assert (found.outcome, found.bsn) == (Outcome.DIFFERS, OF_ANNA)
    assert found.differing == {"given", "birthplace"}


@EACH
def test_two_who_fit_are_as_good_as_nobody(world: World, wire: str) -> None:
    several = over(wire, world, lambda at: at.find(BY_NAME))
    nobody = over(wire, world, lambda at: at.find(replace(BY_NAME, sex="M")))

    assert several == Answer(Outcome.NONE, codes=(sbvz.SEVERAL,))
    assert nobody == Answer(Outcome.NONE, codes=(sbvz.NOBODY,))


@EACH
def test_a_number_is_verified_against_the_person(world: World, wire: str) -> None:
    async def case(at: Persons) -> list[Answer]:
        return [await at.verify(bsn, BY_NAME) for bsn in (OF_TWIN, OF_HIDDEN, OF_NOBODY)]

    own, of_another, of_nobody = over(wire, world, case)

    assert (own.outcome, own.bsn, own.codes) == (Outcome.FITS, OF_TWIN, (sbvz.VERIFIED,))
    assert of_another == of_nobody == Answer(Outcome.NONE, codes=(sbvz.NOBODY,))


@EACH
def test_what_must_be_known_of_a_record_comes_with_it(world: World, wire: str) -> None:
    asked = Person(born="19700131", sex="V", surname="Vos")

    found = over(wire, world, lambda at: at.find(asked))

    assert (found.examined, found.secret, found.deceased) == (True, True, True)


@EACH
@pytest.mark.parametrize(
    "short",
    [
        replace(BY_NAME, born="1970-01-31"),
        replace(BY_NAME, sex=""),
        replace(BY_NAME, sex="X"),
        replace(BY_NAME, surname=""),
        replace(BY_ADDRESS, postal_code="8011 AB"),
        replace(BY_ADDRESS, house_number="0"),
        replace(BY_NAME, given="x" * 201),
        replace(BY_NAME, given="a\x00b"),
    ],
)
def test_a_question_that_cannot_be_answered_is_not_asked(
    world: World, wire: str, short: Person
) -> None:
    with pytest.raises(LdnError) as refused:
        over(wire, world, lambda at: at.find(short))

    assert refused.value.issue is Issue.INVALID


def test_parts_of_a_date_that_are_not_known_are_no_difference(world: World) -> None:
    async def case(at: Persons) -> list[Answer]:
        dates = ("19700100", "19700000", "00000000")
        return [await at.find(replace(BY_ADDRESS, born=born)) for born in dates]

    found = over("sbvz-mrt21", world, case)

    assert [(f.outcome, f.bsn) for f in found] == [(Outcome.FITS, OF_ANNA)] * 3


@pytest.mark.parametrize("wire", ["itself", "json"])
def test_a_document_may_be_in_circulation_or_not(world: World, wire: str) -> None:
    async def case(at: Persons) -> list[bool]:
        return [
            await at.in_circulation(OF_ANNA, Document.PASSPORT, "nx 123 4567"),
            await at.in_circulation(OF_ANNA, Document.DRIVING_LICENSE, "1234567890"),
            await at.in_circulation(OF_TWIN, Document.PASSPORT, PASSPORT),
            await at.in_circulation(OF_ANNA, Document.IDENTITY_CARD, PASSPORT),
        ]

    assert over(wire, world, case) == [True, False, False, False]


def test_over_the_wire_of_sbvz_a_document_cannot_be_checked_and_says_so(world: World) -> None:
    with pytest.raises(LdnError, match="website") as refused:
        over(
            "sbvz-mrt21", world, lambda at: at.in_circulation(OF_ANNA, Document.PASSPORT, "NX12345")
        )

    assert refused.value.issue is Issue.NOT_SUPPORTED


def test_who_shows_no_uzi_server_certificate_gets_no_answer(world: World) -> None:
    application = app(REGISTER, world.clock, new_uuid)

    async def asked(wire: str) -> None:
        async with serving(application, "127.0.0.1", 0, None) as port:
            client = HttpClient()
            path = PATH if wire == "sbvz-mrt21" else "/persons"
            at = persons(wire, client, f"http://127.0.0.1:{port}{path}", new_uuid)
            try:
                await at.find(BY_NAME)
            finally:
                await client.close()

    for wire in WIRES:
        with pytest.raises(LdnError, match="does not let us in") as refused:
            asyncio.run(asked(wire))
        assert refused.value.issue is Issue.INCOMPLETE


def test_the_message_is_as_the_service_of_march_2021_has_it() -> None:
    body = sbvz.question(sbvz.Question(replace(ANNA, house_addition="hs"), OF_ANNA, "ref-1"))

    root = etree.fromstring(body)
    names = " ".join(etree.QName(node).localname for node in root.iter())
    assert names == (
        "Envelope Body OpvragenVerifieren OpvragenVerifierenVraagBericht Vraag "
        "Persoon BSN Voornamen Voorletter VoorvoegselGeslachtsnaam Geslachtsnaam "
        "Geboortedatum Geboorteplaats Geslachtsaanduiding "
        "Adres GemeenteVanInschrijving Straatnaam Huisnummer Huisletter "
        "Huisnummertoevoeging Postcode LokaalKenmerk"
    )
    assert root.tag == "{http://schemas.xmlsoap.org/soap/envelope/}Envelope"
    assert sbvz.ACTION == "http://CIBG.SBV.Interface.XIS.Webservice/mrt21/OpvragenVerifieren"
    spare = sbvz.question(sbvz.Question(BY_NAME, None, "ref-1"))
    assert b"Adres" not in spare and b"BSN" not in spare


TEXTS = st.text(st.characters(categories=("L", "N", "Pd", "Zs")), max_size=30).map(str.strip)


@given(st.builds(Person, **dict.fromkeys(FIELDS, TEXTS)), st.sampled_from([None, OF_ANNA]))
@settings(deadline=None)
def test_every_question_survives_both_wires(asked: Person, bsn: Bsn | None) -> None:
    question = sbvz.Question(asked, bsn, "ref-1")

    assert sbvz.read_question(sbvz.question(question), Bsn.parse) == question
    assert plain.read_question(plain.question(asked, bsn), Bsn.parse) == (asked, bsn)


@given(
    st.builds(
        Answer,
        outcome=st.just(Outcome.DIFFERS),
        bsn=st.just(OF_ANNA),
        person=st.just(ANNA),
        differing=st.frozensets(st.sampled_from([n for n in FIELDS if getattr(ANNA, n)])),
        examined=st.booleans(),
        secret=st.booleans(),
        deceased=st.booleans(),
        codes=st.just((sbvz.FOUND,)),
    )
)
@settings(deadline=None)
def test_every_answer_survives_both_wires(found: Answer) -> None:
    assert sbvz.read_answer(sbvz.answer(found, "r"), "r", Bsn.parse) == found
    assert plain.read_answer(plain.answer(found), Bsn.parse) == found


GOOD = sbvz.answer(Answer(Outcome.FITS, OF_ANNA, ANNA, codes=(sbvz.FOUND,)), "ref-1")
_NONE = sbvz.answer(Answer(Outcome.NONE, codes=(sbvz.NOBODY,)), "ref-1")


@pytest.mark.parametrize(
    "wrong",
    [
        b"",
        b"<html/>",
        GOOD[:-10],
        GOOD.replace(b"ref-1", b"ref-2"),
        GOOD.replace(b"999911120", b"999911121"),
        GOOD.replace(b">G</", b">X</"),
        GOOD.replace(b">G</", b">F</"),
        _NONE.replace(b">F</", b">G</"),
        GOOD.replace(b"soap:Body", b"soap:Header"),
        GOOD.replace(b"mrt21", b"dec14"),
        GOOD.replace(b"<soap:Body>", b"<!DOCTYPE x><soap:Body>"),
        f'<s:Envelope xmlns:s="{sbvz.SOAP}"><s:Body><s:Fault><faultstring>999911120'.encode()
        + b"</faultstring></s:Fault></s:Body></s:Envelope>",
    ],
)
def test_an_answer_of_another_form_is_refused_and_not_repeated(wrong: bytes) -> None:
    with pytest.raises(LdnError) as refused:
        sbvz.read_answer(wrong, "ref-1", Bsn.parse)

    assert refused.value.issue is Issue.INCOMPLETE
    told = f"{refused.value.message} {refused.value.detail}"
    assert "9999" not in told and "Bakker" not in told


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {},
        {"outcome": "maybe"},
        {"outcome": "fits", "codes": [], "person": {"born": "19700131", "sex": "V"}},
        {"outcome": "fits", "bsn": "999911121", "person": {"born": "19700131", "sex": "V"}},
        {"outcome": "fits", "bsn": "999911120", "person": "Anna"},
        {"outcome": "fits", "bsn": "999911120", "codes": 7},
    ],
)
def test_json_of_another_form_is_refused(wrong: Any) -> None:
    with pytest.raises(LdnError) as refused:
        plain.read_answer(wrong, Bsn.parse)

    assert refused.value.issue is Issue.INCOMPLETE


@pytest.mark.parametrize("wire", list(WIRES))
def test_an_answer_about_another_number_is_refused(world: World, wire: str) -> None:
    class Confused:
        async def verify(self, bsn: Bsn, person: Person) -> Answer:
            return Answer(Outcome.FITS, OF_TWIN, TWIN, codes=(sbvz.VERIFIED,))

        find = in_circulation = None

    register: Any = Confused()
    with pytest.raises(LdnError) as refused:
        over(wire, world, lambda at: at.verify(OF_ANNA, BY_NAME), register)

    assert refused.value.issue is Issue.INCOMPLETE


def test_an_untested_number_is_read_at_a_door_with_that_setting_only() -> None:
    question = sbvz.question(sbvz.Question(BY_NAME, Bsn.untested("999940003"), "r"))
    loose = bsn_reader(insecure_accept_untested_bsn=True)

    assert sbvz.read_question(question, loose).bsn == Bsn.untested("999940003")
    with pytest.raises(LdnError):
        sbvz.read_question(question, Bsn.parse)


@EACH
def test_i06_nothing_of_a_person_stands_in_the_log_or_prints_itself(
    world: World, wire: str
) -> None:
    with structlog.testing.capture_logs() as lines:
        found = over(wire, world, lambda at: at.verify(OF_ANNA, BY_NAME))
        over(wire, world, lambda at: at.find(replace(BY_NAME, surname="Niemand")))

    told = f"{lines} {found} {ANNA} {REGISTER.people[0]}"
    for hidden in ("999911120", "Bakker", "19700131", "8011AB", "Niemand", PASSPORT):
        assert hidden not in told


def test_fictitious_people_stand_in_the_register_each_with_a_passport() -> None:
    register = SimulatedRegister.fictitious(20, 7, date(2027, 3, 1))

    async def case() -> None:
        for one in register.people:
            require_askable(one.person)
            assert (await register.verify(one.bsn, one.person)).outcome is Outcome.FITS
            [(kind, number)] = one.documents
            assert await register.in_circulation(one.bsn, kind, number)

    asyncio.run(case())
    assert register == SimulatedRegister.fictitious(20, 7, date(2027, 3, 1))
    assert len({one.bsn for one in register.people}) == 20


def test_the_simulator_is_served_and_asked_by_its_settings(world: World) -> None:
    shown = world.identity(HOSPITAL)
    told = SbvzSettings(certificate=shown.certificate, key_file=shown.key, ca=shown.ca, people=3)
    simulated = register_of_people(told)
    known = SimulatedRegister.fictitious(3, 1, utc_now().date()).people[0]

    async def case() -> list[Answer]:
        async with (
            serving(simulated.app, "127.0.0.1", 0, simulated.context) as port,
            connected(world.identity(PRACTICE), HOSPITAL) as client,
        ):
            origin = f"https://127.0.0.1:{port}"
            asked = {"json": f"{origin}/persons", "sbvz-mrt21": origin + PATH}
            registers = [
                persons_of(IdentificationSettings(url=url, wire=wire), client, new_uuid)
                for wire, url in asked.items()
            ]
            return [await one.verify(known.bsn, known.person) for one in registers]

    assert [a.outcome for a in asyncio.run(case())] == [Outcome.FITS, Outcome.FITS]


def test_i02_the_setting_for_untested_numbers_is_told_at_the_start() -> None:
    settings = IdentificationSettings(url="https://x", insecure_accept_untested_bsn=True)

    with structlog.testing.capture_logs() as lines:
        persons_of(settings, HttpClient(), new_uuid)
        persons_of(IdentificationSettings(url="https://x"), HttpClient(), new_uuid)

    assert [line["setting"] for line in lines] == ["identification.insecure_accept_untested_bsn"]


def test_data_of_people_never_go_over_plain_http() -> None:
    with pytest.raises(LdnError, match="https"):
        persons_of(IdentificationSettings(url="http://sbv-z.example"), HttpClient(), new_uuid)


@pytest.mark.parametrize("text", ["", "12345", "NX12345é", "x" * 21])
def test_a_document_number_of_another_shape_is_refused(text: str) -> None:
    with pytest.raises(LdnError):
        document_number(text)


def test_an_unknown_wire_is_refused_by_name() -> None:
    with pytest.raises(LdnError, match="sbvz-mrt21"):
        persons("fax", HttpClient(), "https://x", new_uuid)


def test_the_json_has_no_more_than_is_asked() -> None:
    assert json.loads(json.dumps(plain.question(BY_NAME))) == {
        "person": {"born": "19700131", "sex": "V", "surname": "bakker"}
    }
