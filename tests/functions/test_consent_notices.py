"""Subscriptions and notifications of choices: generic functions §4.3, §4.4 (C08, C10, C16)."""

from copy import deepcopy
from datetime import UTC, date, datetime
from itertools import count, pairwise
from typing import Any

import pytest
from functions.consent_cases import (
    CLINICS,
    DENY,
    DOCTOR,
    HOSPITAL,
    HOSPITALS,
    JANSEN,
    MOMENT,
    PERMIT,
    THE_CLINIC,
    THE_HOSPITAL,
    TREATMENT,
    choice,
)
from hypothesis import given
from hypothesis import strategies as st

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import NewId, new_uuid
from openldn.fhir.codec import Format, check, decode, encode
from openldn.fhir.model import FhirVersion
from openldn.functions.consent.model import ANYTHING, Choice, Decision, Level, Target
from openldn.functions.consent.notices import Change, notification, read_notification
from openldn.functions.consent.subscribing import Subscribed, read_subscription, subscription

HOSTS = ("a.example", "b.example:8443")
WANTED = Subscribed(JANSEN, HOSPITAL, "https://a.example/mitz/notify", born=date(1980, 5, 1))
ASKED = subscription(WANTED, "urn:oid:2.16.840.1.113883.2.4.6.6.1", "urn:oid:2.16.840.1.2")


def changed(path: str, value: object) -> dict[str, Any]:
    """The subscription with one element replaced, or left out for None."""
    found = deepcopy(ASKED)
    *way, last = path.split(".")
    place = found
    for step in way:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return found


CRITERIA = str(ASKED["criteria"])


def test_what_the_client_asks_is_what_the_registry_reads() -> None:
    found = read_subscription(check(ASKED, FhirVersion.R4), HOSTS)

    assert (found.patient, found.holder, found.endpoint) == (JANSEN, HOSPITAL, WANTED.endpoint)
    assert found.format is Format.JSON
    assert CRITERIA == (
        "Consent?_query=otv&patientid=999900006&providerid=00000001&providertype=V6"
    )


@pytest.mark.parametrize(
    ("where", "given_"),
    [
        ("Subscription.status", changed("status", "active")),
        ("Subscription.reason", changed("reason", "other")),
        ("Subscription.criteria", changed("criteria", CRITERIA.replace("&providertype=V6", ""))),
        ("Subscription.criteria", changed("criteria", CRITERIA.replace("00000001", ""))),
        ("Subscription.criteria", changed("criteria", CRITERIA + "&patientid=999911120")),
        ("Subscription.criteria", changed("criteria", CRITERIA + "&other=1")),
        ("Subscription.criteria", changed("criteria", CRITERIA + "%00")),
        ("Subscription.criteria", changed("criteria", CRITERIA.replace("Consent", "Patient"))),
        ("Subscription.criteria", changed("criteria", CRITERIA.replace("otv", "x"))),
        ("Subscription.channel.type", changed("channel.type", "email")),
        ("Subscription.channel.payload", changed("channel.payload", "text/plain")),
        ("Subscription.channel.payload", changed("channel.payload", None)),
        ("Subscription.channel.endpoint", changed("channel.endpoint", None)),
        ("Subscription.channel.endpoint", changed("channel.endpoint", "http://a.example/x")),
        ("Subscription.channel.endpoint", changed("channel.endpoint", "https://c.example/x")),
        ("Subscription.channel.endpoint", changed("channel.endpoint", "https://b.example/x")),
        ("Subscription.channel.endpoint", changed("channel.endpoint", "https://a.example:1/x")),
        ("Subscription.channel.endpoint", changed("channel.endpoint", "https://u@a.example/x")),
        ("Subscription.channel.endpoint", changed("channel.endpoint", "https://a.example:x/")),
        (
            "Subscription.extension",
            changed("extension", [{"url": "http://other", "valueCode": "x"}]),
        ),
        ("Subscription.extension", changed("extension", [*ASKED["extension"]] * 2)),
    ],
)
def test_c08_a_subscription_that_is_not_as_agreed_is_refused(
    where: str, given_: dict[str, Any]
) -> None:
    with pytest.raises(LdnError) as told:
        read_subscription(given_, HOSTS)

    assert (told.value.status, told.value.where) == (422, where)
    assert "999900006" not in told.value.message


def test_a_criterion_that_is_broken_over_lines_is_read() -> None:
    broken = changed("criteria", CRITERIA.replace("otv&", "otv\n&"))

    assert read_subscription(broken, HOSTS).patient == JANSEN


def numbered() -> NewId:
    numbers = count(1)
    return lambda: f"n-{next(numbers)}"


TARGETS = {
    "holder": [ANYTHING, HOSPITALS, THE_HOSPITAL],
    "user": [ANYTHING, CLINICS, THE_CLINIC, Target(Level.PERSON, DOCTOR.id)],
    "context": [ANYTHING, Target(Level.EXCHANGE, "bgz")],
    "resource": [ANYTHING, TREATMENT],
}
MADE = st.builds(
    Choice,
    id=st.just("c-1"),
    decision=st.sampled_from([PERMIT, DENY]),
    start=st.sampled_from([None, MOMENT]),
    end=st.sampled_from([None, datetime(2030, 1, 1, tzinfo=UTC)]),
    **{side: st.sampled_from(found) for side, found in TARGETS.items()},
)


@given(MADE, st.sampled_from(list(Format)), st.booleans())
def test_c10_what_is_told_is_what_was_chosen_in_xml_and_json(
    made: Choice, form: Format, gone: bool
) -> None:
    bundle = notification(JANSEN, HOSPITAL, [Change(made, gone)], MOMENT, numbered())
    sent = encode(check(bundle, FhirVersion.R4), form, FhirVersion.R4)

    [found] = read_notification(decode(sent, form, FhirVersion.R4))

    assert (found.patient, found.holder, found.moment) == (JANSEN, HOSPITAL.ura, MOMENT)
    if gone:
        assert found.choice is None
    else:
        assert found.choice
        sides = ("decision", "holder", "user", "context", "resource", "start", "end")
        assert all(getattr(found.choice, s) == getattr(made, s) for s in sides)


@given(MADE, MADE)
def test_words_about_the_same_thing_have_the_same_name(one: Choice, other: Choice) -> None:
    def named(made: Choice) -> str:
        bundle = notification(JANSEN, HOSPITAL, [Change(made)], MOMENT, numbered())
        return read_notification(bundle)[0].about

    same = all(getattr(one, side) == getattr(other, side) for side in TARGETS)
    assert (named(one) == named(other)) == same


# As Mitz sends it; the shape is that of Consent-Mitz-Notify 3.8.0, the people are fictitious.
FROM_MITZ = """<Bundle xmlns="http://hl7.org/fhir"><id value="b-1"/><type value="transaction"/>
{consents}
<entry><fullUrl value="urn:uuid:p"/><resource><Patient><identifier>
 <system value="http://fhir.nl/fhir/NamingSystem/bsn"/><value value="999900006"/>
</identifier></Patient></resource>
<request><method value="POST"/><url value="Patient"/></request></entry>
<entry><fullUrl value="urn:uuid:o"/><resource><Organization><identifier>
 <system value="http://fhir.nl/fhir/NamingSystem/ura"/><value value="00000001"/>
</identifier></Organization></resource>
<request><method value="POST"/><url value="Organization"/></request></entry>
</Bundle>"""
ONE = """<entry><fullUrl value="urn:uuid:{id}"/><resource><Consent><id value="{id}"/>
<meta><profile value="http://vzvz.nl/fhir/StructureDefinition/Consent-Mitz-Notify|3.8.0"/></meta>
{categories}
<status value="{status}"/>
<scope><coding><system value="http://terminology.hl7.org/CodeSystem/consentscope"/>
 <code value="patient-privacy"/></coding></scope>
<category><coding><system value="http://fhir.nl/otv/CodeSystem/gegevenscategorie"/>
 <code value="GGC002"/></coding></category>
<patient><reference value="urn:uuid:p"/></patient>
<dateTime value="2027-03-02T10:51:16.8967927Z"/>
<provision>{type}<actor><role><coding>
 <system value="http://terminology.hl7.org/CodeSystem/v3-ParticipationType"/><code value="CST"/>
</coding></role><reference><reference value="urn:uuid:o"/></reference></actor>
<purpose><system value="http://terminology.hl7.org/CodeSystem/v3-ActReason"/>
 <code value="TREAT"/></purpose></provision>
</Consent></resource>
<request><method value="POST"/><url value="Consent"/></request></entry>"""
FOR = """<extension url="http://fhir.nl/StructureDefinition/OTV-ProviderCategory">
<valueCodeableConcept><coding>
<system value="http://fhir.nl/otv/CodeSystem/raadplegende-zorgaanbiedercategorie"/>
<code value="{code}"/></coding></valueCodeableConcept></extension>"""


def from_mitz(status: str, type_: str, *codes: str) -> bytes:
    """A notification of one Consent as Mitz sends it."""
    categories = "".join(FOR.format(code=code) for code in codes)
    typed = f'<type value="{type_}"/>' if type_ else ""
    one = ONE.format(id="c-1", categories=categories, status=status, type=typed)
    return FROM_MITZ.format(consents=one).encode()


@pytest.mark.parametrize(
    ("status", "type_", "decision"),
    [
        ("active", "permit", PERMIT),
        ("active", "deny", DENY),
        ("inactive", "", DENY),
        ("inactive", "permit", None),
        ("inactive", "deny", None),
    ],
)
def test_c10_the_xml_of_mitz_is_read_category_by_category(
    status: str, type_: str, decision: Decision | None
) -> None:
    body = from_mitz(status, type_, "RPZAC001", "RPZAC104")

    found = read_notification(decode(body, Format.XML, FhirVersion.R4))

    assert [n.choice and n.choice.decision for n in found] == [decision, decision]
    assert len({n.about for n in found}) == 2
    assert found[0].moment == datetime(2027, 3, 2, 10, 51, 16, 896792, tzinfo=UTC)
    if decision:
        users = [n.choice.user.value for n in found if n.choice]
        assert users == ["RPZAC001", "RPZAC104"]


@pytest.mark.parametrize(
    "wrong",
    [
        from_mitz("active", "permit", "RPZAC001").replace(b"transaction", b"batch"),
        from_mitz("active", "permit", "RPZAC001").replace(b"urn:uuid:o", b"urn:uuid:x", 1),
        from_mitz("active", "permit", "RPZAC001").replace(b"NamingSystem/bsn", b"x"),
        from_mitz("active", "permit", "R" * 201),
        FROM_MITZ.format(consents="").encode(),
    ],
)
def test_what_is_no_notification_is_refused(wrong: bytes) -> None:
    with pytest.raises(LdnError) as told:
        read_notification(decode(wrong, Format.XML, FhirVersion.R4))

    assert told.value.issue is Issue.BUSINESS_RULE
    assert "999900006" not in told.value.message


@pytest.mark.parametrize(
    ("end", "last"),
    [
        ("2027-03-01", datetime(2027, 3, 1, 22, 59, tzinfo=UTC)),
        ("2027-03", datetime(2027, 3, 31, 21, 59, tzinfo=UTC)),
        ("9999-12-31", datetime(9000, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59-14:00", datetime(9000, 1, 1, tzinfo=UTC)),
    ],
)
def test_an_objection_until_a_day_holds_that_whole_day(end: str, last: datetime) -> None:
    bundle = notification(JANSEN, HOSPITAL, [Change(choice(DENY))], MOMENT, new_uuid)
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] == "Consent":
            entry["resource"]["provision"]["period"] = {"end": end}

    [told] = read_notification(bundle)

    assert told.choice is not None
    assert told.choice.holds(last)


def test_ids_in_a_notification_are_fresh() -> None:
    bundle = notification(JANSEN, HOSPITAL, [Change(choice(PERMIT))] * 3, MOMENT, numbered())
    urls = [entry["fullUrl"] for entry in bundle["entry"]]

    assert all(a != b for a, b in pairwise(sorted(urls)))
