"""Assertions of other parties. Source: SAML core §2; trust and broker §6.1; rule R69."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
import xmlsec
from lxml import etree
from trust.saml.saml_world import (
    HOSPITAL,
    NOW,
    PATIENT,
    STS,
    US,
    USER,
    VALUES,
    assertion,
    believed,
    certificate,
    content,
    expected,
    keys,
    plain,
    resigned,
    sso,
    tag,
    towards,
)
from xmlsec import constants

from openldn.base.errors import LdnError
from openldn.base.runtime import new_uuid
from openldn.trust.evidence import Kind
from openldn.trust.peers import Profile
from openldn.trust.saml import trust
from openldn.trust.saml.encryption import encrypt
from openldn.trust.saml.keys import private_key
from openldn.trust.saml.make import make
from openldn.trust.saml.names import CIPHERS, SAMLP, SUCCESS, TRUST, XENC
from openldn.trust.saml.read import SamlExpected, read
from openldn.trust.saml.variants import Variant, variant
from openldn.trust.saml.xml import Element, serialized
from openldn.trust.trail import Trail


def refusal(xml: bytes, wanted: SamlExpected | None = None) -> str:
    """The rule that refused it; nothing that was sent may be in what we say."""
    with pytest.raises(LdnError) as caught:
        believed(xml, wanted)
    assert PATIENT.value not in f"{caught.value}{caught.value.detail}"
    return caught.value.detail


def test_an_encrypted_assertion_of_a_pinned_sts_proves_who_launches_us() -> None:
    proof = read(sso(), expected(), Trail())

    assert proof.organization == HOSPITAL
    assert proof.person is not None
    assert (proof.person.uzi, proof.person.role) == (USER, "223366009")
    assert (proof.patient, proof.purpose) == (PATIENT, "TREAT")
    assert proof.authorization_base == "f8cab0af-901b-417e-8bb4-5198e2c47732"
    assert proof.expires == NOW + timedelta(minutes=12)
    assert [e.kind for e in proof.evidence] == [Kind.SAML]
    assert proof.used == (f"{STS}|{proof.evidence[0].id}",)


def test_a_proof_never_outlives_the_certificate_it_rests_on() -> None:
    party = keys("sts")
    brief = certificate("sts", party.private, ends=NOW + timedelta(minutes=2))

    proof = believed(assertion(), plain(pinned={STS: (brief,)}))

    assert proof.expires == proof.evidence[0].expires == NOW + timedelta(minutes=2)


def test_what_is_said_of_people_never_shows_when_a_proof_is_printed() -> None:
    shown = repr(believed(assertion()))

    assert PATIENT.value not in shown and "Jansen" not in shown


@pytest.mark.parametrize("cipher", CIPHERS)
def test_every_cipher_agreed_on_is_opened(cipher: str) -> None:
    closed = serialized(encrypt(assertion(), keys("us").certificate, cipher))

    assert read(closed, expected(), Trail()).organization == HOSPITAL


def test_the_key_of_before_a_renewal_still_opens() -> None:
    both = (keys("us of now").private, keys("us").private)

    assert read(sso(), expected(keys=both), Trail()).organization == HOSPITAL


def test_a_key_that_stands_beside_the_data_is_found() -> None:
    root = etree.fromstring(sso())
    data = root[0]
    key = next(data.iter(f"{{{XENC}}}EncryptedKey"))
    root.append(key)

    assert read(serialized(root), expected(), Trail()).organization == HOSPITAL


def test_bare_encrypted_data_in_an_answer_is_opened() -> None:
    root = etree.Element(f"{{{TRUST}}}RequestSecurityTokenResponse")
    inside = etree.SubElement(root, f"{{{TRUST}}}RequestedSecurityToken")
    inside.append(etree.fromstring(sso())[0])

    assert read(serialized(root), expected(), Trail()).organization == HOSPITAL


def test_an_unencrypted_assertion_is_refused_where_encryption_was_agreed() -> None:
    assert refusal(assertion(), expected()) == "saml.encrypted"


def test_an_assertion_encrypted_to_another_is_refused() -> None:
    closed = make(content(), towards(receiver=keys("another").certificate), new_uuid)

    assert refusal(closed, expected()) == "saml.encryption"


def test_rsa_of_the_older_padding_is_refused() -> None:
    closed = sso().replace(b"rsa-oaep-mgf1p", b"rsa-1_5")

    assert refusal(closed, expected()) == "saml.encryption.alg"


def test_triple_des_is_refused() -> None:
    closed = sso().replace(
        b"http://www.w3.org/2009/xmlenc11#aes256-gcm", f"{XENC}tripledes-cbc".encode()
    )

    assert refusal(closed, expected()) == "saml.encryption.alg"


@pytest.mark.parametrize("which", [0, -1])
def test_a_changed_ciphertext_is_refused_without_telling_where(which: int) -> None:
    root = etree.fromstring(sso())
    value = list(root.iter(f"{{{XENC}}}CipherValue"))[which]
    value.text = "A" + str(value.text)[1:] if not str(value.text).startswith("A") else "B"

    assert refusal(serialized(root), expected()) == "saml.encryption"


def test_an_unsigned_assertion_is_refused_though_it_is_encrypted_to_us() -> None:
    root = etree.fromstring(assertion())
    root.remove(root[1])

    closed = serialized(encrypt(serialized(root), keys("us").certificate))

    assert refusal(closed, expected()) == "saml.signed"


def test_an_encrypted_assertion_inside_an_encrypted_assertion_is_refused() -> None:
    closed = serialized(encrypt(sso(), keys("us").certificate))

    assert refusal(closed, expected()) == "saml.one"


def answered(ended: datetime) -> bytes:
    """An answer of the STS whose own lifetime ended then."""
    given = trust.Given(US, ended - timedelta(minutes=5), ended)
    return serialized(trust.response(given, etree.fromstring(sso())))


def test_an_answer_whose_own_lifetime_is_over_is_read_where_that_is_a_known_quirk() -> None:
    late = answered(NOW - timedelta(minutes=1))
    strict = msgspec.structs.replace(plain().profile, quirks=frozenset())

    assert read(late, expected(), Trail()).organization == HOSPITAL
    assert refusal(late, expected(profile=strict)) == "saml.answer.when"
    assert believed(answered(NOW + timedelta(minutes=1)), expected(profile=strict))


def test_a_namespace_declared_outside_the_assertion_still_counts_in_its_signature() -> None:
    xs = "http://www.w3.org/2001/XMLSchema"
    head = f'<p:Response xmlns:p="{SAMLP}" xmlns:xs="{xs}" ID="_response">'
    status = f'<p:Status><p:StatusCode Value="{SUCCESS}"/></p:Status>'
    bare = etree.fromstring(assertion())
    bare.remove(bare[1])
    whole = etree.fromstring(f"{head}{status}{serialized(bare).decode()}</p:Response>")
    inside = whole[1]
    signature = xmlsec.template.create(
        inside, constants.TransformExclC14N, constants.TransformRsaSha256, ns="ds"
    )
    inside.insert(1, signature)
    reference = xmlsec.template.add_reference(
        signature, constants.TransformSha256, uri=f"#{inside.get('ID')}"
    )
    xmlsec.template.add_transform(reference, constants.TransformEnveloped)
    canonical = xmlsec.template.add_transform(reference, constants.TransformExclC14N)
    xmlsec.template.transform_add_c14n_inclusive_namespaces(canonical, "xs")
    context = xmlsec.SignatureContext()
    context.key = private_key(keys("sts").private)
    context.register_id(inside, "ID")
    context.sign(signature)

    assert believed(serialized(whole)).organization == HOSPITAL


def test_an_answer_that_is_an_error_is_no_proof() -> None:
    assert refusal(b"<Error>no session</Error>") == "saml.answer"


def test_a_response_that_tells_of_failure_is_no_proof() -> None:
    root = etree.Element(f"{{{SAMLP}}}Response")
    status = etree.SubElement(root, f"{{{SAMLP}}}Status")
    denied = {"Value": "urn:oasis:names:tc:SAML:2.0:status:Responder"}
    etree.SubElement(status, f"{{{SAMLP}}}StatusCode", denied)
    root.append(etree.fromstring(assertion()))

    assert refusal(serialized(root)) == "saml.answer"


def test_another_audience_is_refused() -> None:
    assert refusal(assertion(audiences=("https://another.example/app",))) == "saml.audience"


def test_an_audience_that_begins_as_ours_is_refused() -> None:
    assert refusal(assertion(audiences=(f"{US}/",))) == "saml.audience"


def test_a_second_audience_is_refused_where_one_was_agreed() -> None:
    assert refusal(assertion(audiences=(US, "https://another.example"))) == "saml.audience"


def test_another_issuer_is_refused() -> None:
    assert refusal(assertion(content(issuer="https://other.example/sts"))) == "saml.pinned"


def test_a_party_cannot_sign_for_another_that_is_pinned_too() -> None:
    both = {STS: (keys("sts").certificate,), "https://b.example": (keys("b").certificate,)}

    forged = assertion(content(issuer="https://b.example"))

    assert refusal(forged, plain(pinned=both)) == "saml.signature"


def test_an_unpinned_certificate_is_refused() -> None:
    assert refusal(assertion(signing=keys("another sts"))) == "saml.signature"


def test_a_pinned_certificate_that_has_ended_is_refused() -> None:
    ended = certificate("sts", keys("sts").private, ends=NOW - timedelta(seconds=1))

    assert refusal(assertion(), plain(pinned={STS: (ended,)})) == "saml.certificate"


def test_the_certificate_after_a_renewal_is_accepted_beside_the_old_one() -> None:
    pinned = {STS: (keys("sts").certificate, keys("sts of next year").certificate)}

    assert believed(assertion(signing=keys("sts of next year")), plain(pinned=pinned))


def test_an_elliptic_key_is_accepted() -> None:
    pinned = {STS: (keys("sts", "ec").certificate,)}

    assert believed(assertion(signing=keys("sts", "ec")), plain(pinned=pinned))


def test_an_algorithm_that_the_profile_does_not_name_is_refused() -> None:
    only = speaking("ecdsa-sha256")

    assert refusal(assertion(), plain(profile=only)) == "saml.signature.alg"


def speaking(*algorithms: str) -> Profile:
    """The profile of a peer that may use these only."""
    usual = plain().profile
    saml = msgspec.structs.replace(usual.alg_in, saml=algorithms)
    return msgspec.structs.replace(usual, alg_in=saml)


@pytest.mark.parametrize(
    ("seconds", "accepted"),
    [(-7200, False), (-6, False), (-5, True), (0, True), (720 + 4, True), (720 + 5, False)],
)
def test_clocks_may_differ_five_seconds_and_no_more(seconds: int, accepted: bool) -> None:
    wanted = plain(now=NOW + timedelta(seconds=seconds))

    if accepted:
        assert believed(assertion(), wanted)
    else:
        assert refusal(assertion(), wanted) == "saml.when"


def test_an_assertion_that_lives_longer_than_agreed_is_refused() -> None:
    longer = content(ends=NOW + timedelta(minutes=16))

    assert refusal(assertion(longer)) == "saml.lifetime"


def without(name: str) -> Callable[[Element], None]:
    def change(root: Element) -> None:
        node = next(root.iter(tag(name)))
        above = node.getparent()
        assert above is not None
        above.remove(node)

    return change


def with_attribute(name: str, attribute: str, value: str | None) -> Callable[[Element], None]:
    def change(root: Element) -> None:
        node = next(root.iter(tag(name)))
        if value is None:
            del node.attrib[attribute]
        else:
            node.set(attribute, value)

    return change


def twice(name: str) -> Callable[[Element], None]:
    def change(root: Element) -> None:
        node = next(root.iter(tag(name)))
        node.addnext(etree.fromstring(serialized(node)))

    return change


def inside(name: str, child: str) -> Callable[[Element], None]:
    def change(root: Element) -> None:
        etree.SubElement(next(root.iter(tag(name))), tag(child))

    return change


def named(name: str) -> Callable[[Element], None]:
    def change(root: Element) -> None:
        next(root.iter(tag("NameID"))).text = name

    return change


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (without("Conditions"), "saml.conditions"),
        (twice("Conditions"), "saml.conditions"),
        (inside("Conditions", "ProxyRestriction"), "saml.conditions"),
        (inside("Conditions", "Condition"), "saml.conditions"),
        (with_attribute("Conditions", "NotBefore", None), "saml.time"),
        (with_attribute("Conditions", "NotOnOrAfter", None), "saml.time"),
        (with_attribute("Conditions", "NotOnOrAfter", "2026-03-02T09:40:00"), "saml.time"),
        (with_attribute("Conditions", "NotOnOrAfter", "2026-03-02T10:40:00+01:00"), "saml.time"),
        (with_attribute("Conditions", "NotOnOrAfter", "2026-02-30T09:40:00Z"), "saml.time"),
        (with_attribute("Assertion", "IssueInstant", "2026-03-02T11:30:00Z"), "saml.when"),
        (with_attribute("Assertion", "IssueInstant", "2026-03-02T07:30:00Z"), "saml.lifetime"),
        (with_attribute("Assertion", "Version", "1.1"), "saml.version"),
        (without("AudienceRestriction"), "saml.audience"),
        (twice("AudienceRestriction"), "saml.audience"),
        (without("Audience"), "saml.audience"),
        (without("Subject"), "saml.name-id"),
        (without("NameID"), "saml.name-id"),
        (twice("NameID"), "saml.name-id"),
        (named("jansen"), "saml.name-id"),
        (named("jansen@hospital.example"), "saml.name-id"),
        (named("jansen@1.2.3\n"), ""),
        (named("jansen@1.2.3@4.5.6"), "saml.name-id"),
        (named(""), "saml.name-id"),
        (without("SubjectConfirmation"), "saml.confirmation"),
        (twice("SubjectConfirmation"), "saml.confirmation"),
        (with_attribute("SubjectConfirmation", "Method", "urn:x"), "saml.confirmation"),
        (twice("AttributeStatement"), "saml.attributes"),
        (twice("Attribute"), "saml.attributes"),
        (twice("AttributeValue"), "saml.attributes"),
        (without("AttributeStatement"), "saml.attribute"),
        (without("Attribute"), "saml.attribute"),
    ],
)
def test_an_assertion_that_lacks_something_is_refused(
    change: Callable[[Element], None], rule: str
) -> None:
    xml = resigned(change)

    if rule:
        assert refusal(xml) == rule
    else:
        assert believed(xml)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [
        ("resource", "999911121", "saml.patient"),
        ("resource", "12", "saml.patient"),
        ("organization", "urn:oid:1.2.3", "saml.organization"),
        ("organization", "", "saml.attribute"),
        ("purpose", "CURIOSITY", "saml.purpose"),
        ("role", "", "saml.attribute"),
        ("workflow", "x" * 501, "saml.coded"),
        ("name", "a\u202eb", "saml.coded"),
    ],
)
def test_an_attribute_that_means_nothing_is_refused(key: str, value: str, rule: str) -> None:
    assert refusal(assertion(content(values=VALUES | {key: value}))) == rule


@pytest.mark.parametrize("code", ["PurposeOfUse", "Role"])
def test_a_code_of_another_system_is_refused(code: str) -> None:
    def change(root: Element) -> None:
        next(root.iter(f"{{urn:hl7-org:v3}}{code}")).set("codeSystem", "1.2.3")

    assert refusal(resigned(change)) == "saml.coded"


def test_a_patient_of_another_register_is_refused() -> None:
    def change(root: Element) -> None:
        next(root.iter("{urn:hl7-org:v3}InstanceIdentifier")).set("root", "1.2.3")

    assert refusal(resigned(change)) == "saml.coded"


def test_without_a_patient_the_proof_names_none() -> None:
    values = {k: v for k, v in VALUES.items() if k != "resource"}

    assert believed(assertion(content(values=values))).patient is None


def confirmed(**attributes: str) -> bytes:
    def change(root: Element) -> None:
        node = next(root.iter(tag("SubjectConfirmation")))
        etree.SubElement(node, tag("SubjectConfirmationData"), attributes)

    return resigned(change)


def test_a_confirmation_for_another_address_is_refused() -> None:
    assert believed(confirmed(Recipient=US))
    assert refusal(confirmed(Recipient="https://another.example")) == "saml.recipient"


def test_a_confirmation_that_has_ended_is_refused() -> None:
    assert refusal(confirmed(NotOnOrAfter="2026-03-02T09:29:00Z")) == "saml.confirmation.when"


HOLDING = variant("aorta-transactietoken")


def aorta(**other: Any) -> SamlExpected:
    """What the LSP expects of a care provider's transaction token."""
    issuer = f"urn:IIroot:2.16.528.1.1007.3.3:IIext:{HOSPITAL}"
    pinned = {issuer: (keys("hospital").certificate,)}
    return plain(**{"variant": HOLDING, "pinned": pinned, **other})


def transaction(**other: Any) -> bytes:
    issuer = f"urn:IIroot:2.16.528.1.1007.3.3:IIext:{HOSPITAL}"
    said = content(issuer=issuer, name_id="900012345:01.015", values={})
    usual = {"variant": HOLDING, "signing": keys("hospital"), "audiences": (US, "urn:lsp")}
    return make(said, towards(**{**usual, **other}), new_uuid)


def test_a_transaction_token_proves_organization_and_person() -> None:
    proof = believed(transaction(), aorta())

    assert proof.organization == HOSPITAL
    assert proof.person is not None
    assert (proof.person.uzi, proof.person.role) == ("900012345", "01.015")


def test_a_transaction_token_of_a_server_names_no_person() -> None:
    issuer = f"urn:IIroot:2.16.528.1.1007.3.3:IIext:{HOSPITAL}"
    said = content(issuer=issuer, name_id="", values={})
    xml = make(said, towards(variant=HOLDING, signing=keys("hospital")), new_uuid)

    assert believed(xml, aorta()).person is None


def test_a_transaction_token_that_names_another_key_is_refused() -> None:
    xml = transaction(holder=keys("another").certificate)

    assert refusal(xml, aorta()) == "saml.holder"


def holder_of_key() -> Variant:
    return msgspec.structs.replace(HOLDING, holder="client")


def test_the_holder_of_the_key_is_the_client_of_the_connection() -> None:
    kind = holder_of_key()
    xml = transaction(variant=kind, holder=keys("client").certificate)

    assert believed(xml, aorta(variant=kind, client=keys("client").der))
    assert refusal(xml, aorta(variant=kind, client=keys("thief").der)) == "saml.holder"
    assert refusal(xml, aorta(variant=kind)) == "saml.holder"


def test_a_bearer_assertion_does_not_pass_for_one_of_a_key_holder() -> None:
    assert refusal(assertion(), plain(variant=HOLDING)).startswith("saml.confirmation")


def test_a_mandate_names_the_mandator_and_must_be_signed_for_documents() -> None:
    kind = variant("aorta-mandaattoken")
    urn = f"urn:IIroot:2.16.528.1.1007.3.3:IIext:{HOSPITAL}"
    said = content(issuer="900012345:01.015", name_id=urn, values={})
    xml = make(said, towards(variant=kind, signing=keys("doctor")), new_uuid)
    plain_use = certificate("doctor", keys("doctor").private, documents=False)

    proof = believed(
        xml, plain(variant=kind, pinned={"900012345:01.015": (keys("doctor").certificate,)})
    )

    assert proof.organization == HOSPITAL
    assert proof.person is not None and proof.person.uzi == "900012345"
    pinned = {"900012345:01.015": (plain_use,)}
    assert refusal(xml, plain(variant=kind, pinned=pinned)) == "saml.certificate"


def test_the_older_form_of_a_ura_is_still_read() -> None:
    old = "urn:oid:2.16.528.1.1007.3.3.0090000382"
    said = content(values=VALUES | {"organization": old})

    assert believed(assertion(said)).organization == HOSPITAL
