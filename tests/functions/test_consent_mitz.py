"""The closed question to Mitz: generic functions §4.2 (rules C01-C07, C15; R78)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from functions.consent_cases import ASKED, DENY, DOCTOR, MOMENT, PERMIT, UNKNOWN, Time
from lxml import etree
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base import log
from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, serving
from openldn.base.runtime import new_uuid
from openldn.fhir.http import application, read_body
from openldn.functions.consent.client import Mitz
from openldn.functions.consent.kinds import Kinds, kinds
from openldn.functions.consent.model import Answer, Decision, Delegation, Origin, Provider, User
from openldn.functions.consent.xacml import (
    answer,
    question,
    read_answer,
    read_question,
    told,
)

KINDS = kinds()
DELEGATED = replace(ASKED, delegation=Delegation("000095255", "01.010"), user=User("1", "30.000"))
XACML = "urn:oasis:names:tc:xacml:3.0:core:schema:wd-17"

# Written by hand from the table of §4.2.
EXPECTED = """
<e:Envelope xmlns:e="http://www.w3.org/2003/05/soap-envelope"
            xmlns:w="http://www.w3.org/2005/08/addressing">
 <e:Header>
  <w:Action>XACMLAuthorizationDecisionQueryRequest</w:Action>
  <w:MessageID>urn:uuid:6f1c</w:MessageID>
  <w:ReplyTo><w:Address>http://www.w3.org/2005/08/addressing/anonymous</w:Address></w:ReplyTo>
  <w:To>https://mitz.example/geslotenautorisatievraag/xacml3</w:To>
 </e:Header>
 <e:Body>
  <t:XACMLAuthzDecisionQuery
     xmlns:t="urn:oasis:names:tc:xacml:3.0:profile:saml2.0:v2:schema:protocol:wd-14">
   <Request xmlns="urn:oasis:names:tc:xacml:3.0:core:schema:wd-17"
            CombinedDecision="false" ReturnPolicyIdList="false">
    <Attributes Category="urn:oasis:names:tc:xacml:3.0:attribute-category:resource"
                xml:id="resource">
     <Attribute AttributeId="urn:oasis:names:tc:xacml:2.0:resource:resource-id"
                IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#II">
       <InstanceIdentifier xmlns="urn:hl7-org:v3" root="2.16.840.1.113883.2.4.6.3"
                           extension="999900006"/>
      </AttributeValue>
     </Attribute>
     <Attribute
        AttributeId="urn:ihe:iti:appc:2016:document-entry:healthcare-facility-type-code"
        IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#CV">
       <CodedValue xmlns="urn:hl7-org:v3" code="V6"
                   codeSystem="2.16.840.1.113883.2.4.15.1060"/>
      </AttributeValue>
     </Attribute>
     <Attribute AttributeId="urn:ihe:iti:appc:2016:author-institution:id"
                IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#II">
       <InstanceIdentifier xmlns="urn:hl7-org:v3" root="2.16.528.1.1007.3.3"
                           extension="00000001"/>
      </AttributeValue>
     </Attribute>
    </Attributes>
    <Attributes Category="urn:oasis:names:tc:xacml:3.0:attribute-category:action"
                xml:id="action0">
     <Attribute AttributeId="urn:ihe:iti:appc:2016:document-entry:event-code"
                IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#CV">
       <CodedValue xmlns="urn:hl7-org:v3" code="GGC002"
                   codeSystem="2.16.840.1.113883.2.4.3.111.5.10.1"/>
      </AttributeValue>
     </Attribute>
    </Attributes>
    <Attributes Category="urn:oasis:names:tc:xacml:1.0:subject-category:access-subject"
                xml:id="subject">
     <Attribute AttributeId="urn:oasis:names:tc:xacml:2.0:subject:role"
                IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#CV">
       <CodedValue xmlns="urn:hl7-org:v3" code="{role}"
                   codeSystem="2.16.840.1.113883.2.4.15.111"/>
      </AttributeValue>
     </Attribute>
     {mandated}
     <Attribute AttributeId="urn:ihe:iti:xua:2017:subject:provider-identifier"
                IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#II">
       <InstanceIdentifier xmlns="urn:hl7-org:v3" assigningAuthorityName="CIBG"
                           root="2.16.528.1.1007.3.1" extension="{provider}"/>
      </AttributeValue>
     </Attribute>
     <Attribute AttributeId="urn:nl:otv:names:tc:1.0:subject:provider-institution"
                IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#II">
       <InstanceIdentifier xmlns="urn:hl7-org:v3" root="2.16.528.1.1007.3.3"
                           extension="00000002"/>
      </AttributeValue>
     </Attribute>
     <Attribute
        AttributeId="urn:nl:otv:names:tc:1.0:subject:consulting-healthcare-facility-type-code"
        IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#CV">
       <CodedValue xmlns="urn:hl7-org:v3" code="Z4"
                   codeSystem="2.16.840.1.113883.2.4.15.1060"/>
      </AttributeValue>
     </Attribute>
    </Attributes>
    <Attributes Category="urn:oasis:names:tc:xacml:3.0:attribute-category:environment"
                xml:id="environment">
     <Attribute AttributeId="urn:oasis:names:tc:xspa:1.0:subject:purposeofuse"
                IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#CV">
       <CodedValue xmlns="urn:hl7-org:v3" code="TREAT"
                   codeSystem="2.16.840.1.113883.1.11.20448"/>
      </AttributeValue>
     </Attribute>
    </Attributes>
   </Request>
  </t:XACMLAuthzDecisionQuery>
 </e:Body>
</e:Envelope>"""
MANDATED = """<Attribute AttributeId="urn:nl:otv:names:tc:1.0:subject:mandated"
                IncludeInResult="true">
      <AttributeValue DataType="urn:hl7-org:v3#II">
       <InstanceIdentifier xmlns="urn:hl7-org:v3" assigningAuthorityName="CIBG"
                           root="2.16.528.1.1007.3.1" extension="1"/>
      </AttributeValue>
     </Attribute>"""


def canonical(content: bytes | str) -> str:
    """Canonical XML 2.0, in which prefixes and the space between elements do not matter."""
    text = content.decode() if isinstance(content, bytes) else content
    return str(etree.canonicalize(text, strip_text=True, rewrite_prefixes=True))


@dataclass
class Simulated:
    """Something at the other end of the line, and what it was asked."""

    reply: bytes = answer("Permit", "urn:uuid:6f1c", "1")
    status: int = 200
    asked: list[bytes] = field(default_factory=list)
    hold: asyncio.Event | None = None

    async def ask(self, request: Request) -> Response:
        self.asked.append(await read_body(request))
        if self.hold:
            await self.hold.wait()
        return Response(self.reply, self.status, {"content-type": "text/xml"})


@asynccontextmanager
async def mitz(other: Simulated, table: Kinds = KINDS, deadline: float = 5) -> AsyncIterator[Mitz]:
    """A client of Mitz; plain HTTP on loopback, for TLS is not what is tried here."""
    path = "/geslotenautorisatievraag/xacml3"
    app = application([Route(path, other.ask, methods=["POST"])], role="test", new_id=new_uuid)
    http = HttpClient()
    async with serving(app, "127.0.0.1", 0, None) as port:
        try:
            yield Mitz(http, f"http://127.0.0.1:{port}", Time(), lambda: "6f1c", table, deadline)
        finally:
            await http.close()


def with_mitz(other: Simulated, story: Callable[[Mitz], Awaitable[None]]) -> None:
    async def run() -> None:
        async with mitz(other) as client:
            await story(client)

    asyncio.run(run())


def written(disclosure=ASKED, category: str = "GGC002") -> bytes:  # type: ignore[no-untyped-def]
    to = "https://mitz.example/geslotenautorisatievraag/xacml3"
    return question(told(disclosure, category), to, "6f1c")


def response(decision: str, namespace: str = "") -> bytes:
    named = f' xmlns="{namespace}"' if namespace else ""
    return (
        '<s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope"><s:Body>'
        f"<Response{named}><Result><Decision>{decision}</Decision></Result></Response>"
        "</s:Body></s:Envelope>"
    ).encode()


def test_c01_the_closed_question_is_the_table_of_the_specification() -> None:
    expected = EXPECTED.format(role="01.015", mandated="", provider="000095254")

    assert canonical(written()) == canonical(expected)


def test_c03_who_gave_the_mandate_is_the_provider_and_who_acts_is_mandated() -> None:
    expected = EXPECTED.format(role="01.010", mandated=MANDATED, provider="000095255")

    assert canonical(written(DELEGATED)) == canonical(expected)


@pytest.mark.parametrize(
    ("purpose", "wire"), [("TREAT", "TREAT"), ("COC", "COC"), ("ETREAT", "TREAT"), ("", "TREAT")]
)
def test_the_purpose_on_the_wire_is_treatment_or_coordination(purpose: str, wire: str) -> None:
    assert told(replace(ASKED, purpose=purpose), "GGC002").purpose == wire


INCOMPLETE = {
    "patient": replace(ASKED, patient=None),
    "holder ura": replace(ASKED, holder=Provider(None, "V6")),
    "holder type": replace(ASKED, holder=replace(ASKED.holder, kind="")),
    "requester ura": replace(ASKED, requester=Provider(None, "Z4")),
    "requester type": replace(ASKED, requester=replace(ASKED.requester, kind="")),
    "user id": replace(ASKED, user=replace(DOCTOR, id="")),
    "user role": replace(ASKED, user=replace(DOCTOR, role="")),
    "purpose that is not care": replace(ASKED, purpose="HRESCH"),
}
HALF = {
    "role alone": replace(ASKED, delegation=Delegation("", "01.010")),
    "person alone": replace(ASKED, delegation=Delegation("000095255", "")),
}


@pytest.mark.parametrize("name", INCOMPLETE)
def test_c02_an_incomplete_question_is_not_asked_and_permits_nothing(name: str) -> None:
    other = Simulated()

    async def story(client: Mitz) -> None:
        found = await client.ask(INCOMPLETE[name])

        assert (found.decision, found.reason) == (UNKNOWN, "unexpected_input")

    with_mitz(other, story)
    assert other.asked == []


@pytest.mark.parametrize("name", HALF)
def test_c04_half_a_delegation_is_not_asked_and_permits_nothing(name: str) -> None:
    other = Simulated()

    async def story(client: Mitz) -> None:
        found = await client.ask(HALF[name])

        assert (found.decision, found.reason) == (UNKNOWN, "unexpected_input")

    with_mitz(other, story)
    assert other.asked == []


@pytest.mark.parametrize(
    ("word", "decision", "reason"),
    [
        ("Permit", PERMIT, ""),
        ("Deny", DENY, "objection"),
        ("NotApplicable", UNKNOWN, "not-applicable"),
        ("Indeterminate", UNKNOWN, "indeterminate"),
        ("", UNKNOWN, "unreachable"),
        ("permit", UNKNOWN, "unreachable"),
        ("Permitted", UNKNOWN, "unreachable"),
    ],
)
def test_c05_only_the_word_permit_permits(word: str, decision: Decision, reason: str) -> None:
    async def story(client: Mitz) -> None:
        found = await client.ask(ASKED)

        assert found == Answer(decision, Origin.MITZ, "6f1c", MOMENT, reason)
        assert found.permits == (decision is PERMIT)

    with_mitz(Simulated(response(word, XACML)), story)


@pytest.mark.parametrize("word", ["", "permit", "Permit Deny", "999900006"])
def test_c05_an_unknown_word_is_an_error_that_repeats_nothing(word: str) -> None:
    with pytest.raises(LdnError) as told_:
        read_answer(response(word))

    assert told_.value.issue is Issue.INCOMPLETE
    assert word == "" or word not in f"{told_.value.message} {told_.value.detail}"


@pytest.mark.parametrize("namespace", ["", XACML])
@pytest.mark.parametrize("word", ["Permit", "Deny", "NotApplicable", "Indeterminate"])
def test_c06_a_response_is_read_with_and_without_namespace(word: str, namespace: str) -> None:
    assert read_answer(response(word, namespace)) == word


HOSTILE = {
    "entity": b'<!DOCTYPE a [<!ENTITY b "Permit">]>' + response("&b;"),
    "external": b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/">' + response("Permit"),
    "two": response("Permit").replace(
        b"</Result>", b"</Result><Result><Decision>Deny</Decision></Result>"
    ),
    "two words": response("Permit").replace(b"<Result>", b"<Result><Decision>Deny</Decision>"),
    "two responses": response("Permit").replace(
        b"<Response>", b"<Response><Result><Decision>Deny</Decision></Result></Response><Response>"
    ),
    "nested word": response("<b>Permit</b>"),
    "comment": response("Per<!-- -->mit"),
    "other namespace": response("Permit", "urn:other"),
    "outside the body": b"<Response><Result><Decision>Permit</Decision></Result></Response>",
    "in the header": response("Permit").replace(b"s:Body", b"s:Header"),
    "deep": b"<a>" * 50 + b"</a>" * 50,
    "large": response("Permit" + " " * 300_000),
    "not xml": b"Permit",
    "empty": b"",
    "utf-16": response("Permit").decode().encode("utf-16"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_xml_never_permits(name: str) -> None:
    with pytest.raises(LdnError) as told_:
        read_answer(HOSTILE[name])

    assert told_.value.issue is Issue.INCOMPLETE


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (response("Permit").replace(b"</Response>", b"<x>999900006</x></Response>"), 200),
        (response("999900006"), 200),
        (b"999900006", 200),
        (b'{"diagnostics": "999900006"}', 422),
    ],
)
def test_c07_a_bsn_that_is_echoed_reaches_no_log_and_no_answer(
    reply: bytes, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure("test")
    said: list[str] = []

    async def story(client: Mitz) -> None:
        said.append(repr(await client.ask(ASKED)))

    with_mitz(Simulated(reply, status), story)

    captured = capsys.readouterr()
    assert "999900006" not in captured.err + captured.out + said[0]


def test_c07_the_question_hides_its_patient() -> None:
    assert "999900006" not in repr(ASKED)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_r78_without_a_sound_answer_there_is_no_consent(status: int) -> None:
    async def story(client: Mitz) -> None:
        found = await client.ask(ASKED)

        assert found.decision is UNKNOWN
        assert found.reason
        assert not found.permits

    with_mitz(Simulated(status=status), story)


def test_r78_mitz_out_of_reach_is_no_consent() -> None:
    async def run() -> None:
        http = HttpClient()
        found = await Mitz(http, "http://127.0.0.1:9", Time(), new_uuid, KINDS).ask(ASKED)
        await http.close()

        assert (found.decision, found.reason) == (UNKNOWN, "unreachable")

    asyncio.run(run())


def test_r78_a_mitz_that_keeps_silent_is_no_consent() -> None:
    async def run() -> None:
        other = Simulated(hold=asyncio.Event())
        async with mitz(other, deadline=0.1) as client:
            found = await client.ask(ASKED)
            assert other.hold
            other.hold.set()

        assert (found.decision, found.reason) == (UNKNOWN, "timeout")

    asyncio.run(run())


def test_c15_the_data_category_follows_from_the_exchange() -> None:
    table = Kinds(KINDS.holder, KINDS.requester, {"": "GGC002", "images": "GGC007"})
    other = Simulated()

    async def run() -> None:
        async with mitz(other, table) as client:
            await client.ask(replace(ASKED, exchange="images"))
            await client.ask(ASKED)
            await client.ask(replace(ASKED, exchange="images", category="GGC001"))

    asyncio.run(run())
    assert [read_question(q)[0].category for q in other.asked] == ["GGC007", "GGC002", "GGC001"]


@pytest.mark.parametrize("disclosure", [ASKED, DELEGATED])
def test_what_is_asked_is_read_as_it_was_meant(disclosure) -> None:  # type: ignore[no-untyped-def]
    found, message = read_question(written(disclosure))

    by = disclosure.delegation
    role = by.role if by else DOCTOR.role
    meant = replace(disclosure, exchange="", category="GGC002", user=User(disclosure.user.id, role))
    assert (found, message) == (meant, "urn:uuid:6f1c")


@pytest.mark.parametrize(
    "wrong",
    [
        written().replace(b"2.16.528.1.1007.3.3", b"2.16.528.1.1007.3.4"),
        written().replace(b"subject:role", b"subject:rolle"),
        written().replace(b"999900006", b"999900007"),
        written().replace(b"urn:hl7-org:v3", b"urn:hl7-org:v4"),
        b"<a/>",
    ],
)
def test_a_question_that_is_not_as_agreed_is_refused(wrong: bytes) -> None:
    with pytest.raises(LdnError) as told_:
        read_question(wrong)

    assert told_.value.issue in {Issue.STRUCTURE, Issue.INVALID}
    assert "99990000" not in told_.value.message


def test_a_sign_that_xml_has_no_place_for_is_not_asked() -> None:
    async def story(client: Mitz) -> None:
        found = await client.ask(replace(ASKED, user=User("1\x00", "01.015")))

        assert (found.decision, found.reason) == (UNKNOWN, "unexpected_input")

    with_mitz(Simulated(), story)
