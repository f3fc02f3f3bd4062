"""With whose word a token is asked when the glass is broken (exchange patterns §7.3)."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import pytest

from openldn.fhir.identifiers import Ura
from openldn.node.roads import InEmergency
from openldn.trust.parties import Emergency, Requester
from openldn.trust.tokens.model import AccessToken

HOLDER = Ura.parse("90000001")
ASKER = Requester(Ura.parse("90000002"), frozenset({"eOverdracht-sender"}), "BTG")
WHY = Emergency("case-1", "unconscious", "found beside her bicycle", "high", 1_900_000_000)


@dataclass
class Given:
    """Gives tokens with its own name."""

    name: str
    forgotten: list[str] = field(default_factory=list)

    async def token(self, holder: Ura, issuer: str, requester: Requester) -> AccessToken:
        return AccessToken(self.name, self.name, datetime(2031, 1, 1, tzinfo=UTC))

    def forget(self, token: AccessToken) -> None:
        self.forgotten.append(token.value)


@pytest.mark.parametrize(
    ("requester", "name"), [(ASKER, "broker"), (replace(ASKER, emergency=WHY), "own")]
)
def test_r83_a_reason_goes_in_our_own_word_and_never_gets_lost_at_a_broker(
    requester: Requester, name: str
) -> None:
    tokens = InEmergency(Given("broker"), Given("own"))

    given = asyncio.run(tokens.token(HOLDER, "https://holder.example/oauth2", requester))

    assert given.value == name


def test_a_token_that_was_refused_is_forgotten_by_both() -> None:
    usual, own = Given("broker"), Given("own")
    token = asyncio.run(usual.token(HOLDER, "", ASKER))

    InEmergency(usual, own).forget(token)

    assert usual.forgotten == own.forgotten == ["broker"]
