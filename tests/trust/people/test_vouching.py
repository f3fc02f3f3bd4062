"""A node vouches for who shows a statement, firm enough for the purpose (A16, R70)."""

from typing import Any

import pytest
from trust.people.register import HOSPITAL, ISSUER, PRACTICE, Register, in_loop, register

from openldn.base.errors import Issue, LdnError
from openldn.base.settings import check
from openldn.fhir.identifiers import Ura
from openldn.trust.credentials.dezi import Statement
from openldn.trust.parties import Person
from openldn.trust.people.levels import Level
from openldn.trust.people.vouching import PeopleSettings, Vouchers, vouchers
from openldn.trust.trail import Trail

DOCTOR = Person("900022159", "01.015", "J. Zorg-Test")


def made(dezi: Register, organization: Ura = HOSPITAL, **other: Any) -> Vouchers:
    host = dezi.origin.removeprefix("http://")
    known = {"issuers": [ISSUER], "key_sets": [dezi.key_set], "status_hosts": [host]}
    settings = check(known | other, PeopleSettings, "test")
    dezi.opened.append(vouchers(settings, organization, dezi.clock))
    return dezi.opened[-1]


async def refused(asked: Vouchers, text: str, purpose: str = "TREAT") -> str:
    with pytest.raises(LdnError) as caught:
        await asked.vouch(text, DOCTOR, purpose, Trail(issue=Issue.FORBIDDEN))
    assert caught.value.issue is Issue.FORBIDDEN
    return caught.value.detail


@in_loop
async def test_a_node_vouches_for_who_shows_a_statement() -> None:
    async with register() as dezi:
        asked = made(dezi)

        found = await asked.vouch(dezi.statement(), DOCTOR, "TREAT", Trail())

        assert found and found.person == DOCTOR and found.level is Level.HIGH


@in_loop
async def test_breaking_the_glass_needs_a_firmer_sign_in_than_treatment() -> None:
    async with register() as dezi:
        text = dezi.statement(loa_dezi="http://eidas.europa.eu/LoA/substantial")
        asked = made(dezi)
        await asked.vouch(text, DOCTOR, "TREAT", Trail())

        assert await refused(asked, text, "BTG") == "person.level"
        assert await refused(made(dezi, needs={"TREAT": "high"}), text) == "person.level"
        asked = made(dezi, needs={"BTG": "substantial"})
        assert await asked.vouch(text, DOCTOR, "BTG", Trail())


@in_loop
async def test_a_statement_for_another_organization_is_refused() -> None:
    async with register() as dezi:
        assert await refused(made(dezi, PRACTICE), dezi.statement()) == "dezi.ura"


@in_loop
async def test_without_a_statement_nothing_is_vouched_unless_the_setting_says_so() -> None:
    async with register() as dezi:
        trail, asked = Trail(), made(dezi, required=False)

        assert await asked.vouch("", DOCTOR, "TREAT", trail) is None
        assert [c.outcome for c in trail] == ["skip"]
        assert await refused(made(dezi), "") == "person.statement"
        assert await refused(asked, "x.y.z") == "jwt.form"


@in_loop
async def test_a_statement_in_a_credential_is_held_against_the_organization_it_comes_from() -> None:
    async with register() as dezi:
        asked: Statement = made(dezi, PRACTICE).statement

        assert await asked(dezi.statement(), HOSPITAL, Trail())
        with pytest.raises(LdnError) as caught:
            await asked(dezi.statement(), PRACTICE, Trail())
        assert caught.value.detail == "dezi.ura"


@pytest.mark.parametrize(
    "other",
    [
        {"needs": {"TREAT": "firm"}},
        {"key_sets": ["http://keys.example/jwks.json"]},
        {"key_sets": []},
        {"key_sets": ["https://keys.example/jwks.json"], "ca": "/nowhere.pem"},
    ],
)
def test_settings_that_cannot_work_are_refused_at_the_start(other: dict[str, Any]) -> None:
    with pytest.raises(LdnError) as caught:
        made(Register(origin="http://127.0.0.1:1"), **other)

    assert caught.value.issue is Issue.INVALID
