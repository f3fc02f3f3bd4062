"""What is secret or about a patient never stands in how an object prints itself. R-privacy."""

from datetime import UTC, datetime

import pytest
from lxml import etree

from openldn.node.ask import Body, Practitioner
from openldn.trust.broker import client as broker_client
from openldn.trust.parties import Person
from openldn.trust.saml.make import Content
from openldn.trust.saml.read import _Read, _Span
from openldn.trust.saml.soap import Request
from openldn.trust.tokens import client as token_client
from openldn.trust.tokens.dpop import Call

SECRET, BSN, NAME = "c2VjcmV0LXRva2Vu", "999911120", "A. Jansen"
NOW = datetime(2026, 11, 1, tzinfo=UTC)
VALUES = {"resource": BSN, "name": NAME}


@pytest.mark.parametrize(
    "made",
    [
        Call("GET", "https://h.example", NOW, SECRET),
        Request("id", SECRET.encode(), etree.Element("a")),
        Content("issuer", f"{NAME}@1.2", VALUES, NOW, NOW),
        _Read("id", "issuer", NAME, _Span(NOW, NOW), VALUES, None),  # type: ignore[arg-type]
        token_client._Given(SECRET, "Bearer"),
        broker_client._Given(SECRET, "jwt", 5, client_assertion=SECRET),
        Body(
            bsn=BSN,
            holder="90000001",
            purpose="TREAT",
            practitioner=Practitioner("900012345", "01.015", NAME),
            statement=SECRET,
        ),
        Practitioner("900012345", "01.015", NAME),
        Person("900012345", "01.015", NAME),
    ],
    ids=lambda made: type(made).__name__,
)
def test_what_prints_itself_tells_no_secret(made: object) -> None:
    for text in (repr(made), str(made), f"{[made]}"):
        assert not any(s in text for s in (SECRET, BSN, NAME)), text
