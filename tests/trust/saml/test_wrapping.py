"""Signature wrapping: what was signed is moved aside, what was not signed takes its place.

XSW1 to XSW8 as Somorovsky and others name them (On Breaking SAML, USENIX Security 2012), and the
tricks with identifiers, comments and keys that came after. Rule R69; SAML core §5.4.
"""

import copy
from collections.abc import Callable

import pytest
from lxml import etree
from trust.saml.saml_world import (
    NOW,
    VALUES,
    assertion,
    content,
    keys,
    plain,
    resigned,
    tag,
)

from openldn.base.errors import LdnError
from openldn.trust.saml.names import DS, SAMLP, SUCCESS
from openldn.trust.saml.read import read
from openldn.trust.saml.signature import verify
from openldn.trust.saml.xml import Element, serialized
from openldn.trust.trail import Trail

ANOTHER = "999999151"  # the patient an attacker wants


def signed() -> Element:
    return etree.fromstring(assertion())


def response(*inside: Element) -> Element:
    """A response of the protocol around these elements."""
    root = etree.Element(f"{{{SAMLP}}}Response", {"ID": "_response-1", "Version": "2.0"})
    status = etree.SubElement(root, f"{{{SAMLP}}}Status")
    etree.SubElement(status, f"{{{SAMLP}}}StatusCode", {"Value": SUCCESS})
    root.extend(inside)
    return root


def evil(
    original: Element, *, named: str = "_evil-assertion-1", signature: bool = False
) -> Element:
    """A copy that speaks of another patient; its signature only when asked."""
    forged = copy.deepcopy(original)
    forged.set("ID", named)
    for identifier in forged.iter("{urn:hl7-org:v3}InstanceIdentifier"):
        identifier.set("extension", ANOTHER)
    if not signature:
        forged.remove(forged[1])
    return forged


def unsigned(original: Element) -> Element:
    bare = copy.deepcopy(original)
    bare.remove(bare[1])
    return bare


def signature_of(original: Element) -> Element:
    return copy.deepcopy(original[1])


def in_object(signature: Element, inside: Element) -> Element:
    etree.SubElement(signature, f"{{{DS}}}Object").append(inside)
    return signature


def xsw1(original: Element) -> Element:
    """The forged response carries the signature, which holds the original response."""
    forged = response(evil(original))
    forged.insert(0, in_object(signature_of(original), response(unsigned(original))))
    return forged


def xsw2(original: Element) -> Element:
    """The original stands detached, before its signature."""
    forged = response(evil(original))
    forged.insert(0, signature_of(original))
    forged.insert(0, response(unsigned(original)))
    return forged


def xsw3(original: Element) -> Element:
    """The forged assertion stands before the original, as its sibling."""
    return response(evil(original), original)


def xsw4(original: Element) -> Element:
    """The original stands inside the forged one."""
    forged = evil(original)
    forged.append(original)
    return response(forged)


def xsw5(original: Element) -> Element:
    """The forged assertion has the signature; the original follows at the end."""
    return response(evil(original, signature=True), unsigned(original))


def xsw6(original: Element) -> Element:
    """The forged assertion has the signature, which holds the original."""
    forged = evil(original, signature=True)
    forged[1].append(unsigned(original))
    return response(forged)


def xsw7(original: Element) -> Element:
    """An element of extensions holds the forged assertion, before the original."""
    extensions = etree.Element(f"{{{SAMLP}}}Extensions")
    extensions.append(evil(original))
    return response(extensions, original)


def xsw8(original: Element) -> Element:
    """The forged assertion has the signature, whose Object holds the original."""
    forged = evil(original, signature=True)
    in_object(forged[1], unsigned(original))
    return response(forged)


def in_advice(original: Element) -> Element:
    """The original stands where the standard allows an assertion: in Advice."""
    forged = evil(original, signature=True)
    etree.SubElement(forged, tag("Advice")).append(unsigned(original))
    return forged


def same_id(original: Element) -> Element:
    """The forged assertion has the ID that was signed."""
    return response(evil(original, named=str(original.get("ID")), signature=True), original)


def id_in_another_spelling(original: Element) -> Element:
    """Something else than the assertion claims the ID that was signed."""
    forged = evil(original, signature=True)
    forged.set("{http://www.w3.org/XML/1998/namespace}id", str(original.get("ID")))
    aside = etree.SubElement(forged, "Aside", {"Id": str(original.get("ID"))})
    aside.append(etree.Element("Nothing"))
    return forged


WRAPPED = [xsw1, xsw2, xsw3, xsw4, xsw5, xsw6, xsw7, xsw8, in_advice, same_id]
WRAPPED.append(id_in_another_spelling)


def refusal(xml: bytes) -> str:
    """The rule that refused it."""
    with pytest.raises(LdnError) as caught:
        read(xml, plain(), Trail())
    assert ANOTHER not in str(caught.value) + caught.value.detail
    return caught.value.detail


def test_the_original_in_a_response_is_believed() -> None:
    proof = read(serialized(response(signed())), plain(), Trail())

    assert proof.patient is not None and proof.patient.value == VALUES["resource"]


@pytest.mark.parametrize("wrap", WRAPPED, ids=lambda w: str(w.__name__))
def test_a_wrapped_signature_is_refused(wrap: Callable[[Element], Element]) -> None:
    assert refusal(serialized(wrap(signed()))) in {"saml.one", "saml.ids"}


@pytest.mark.parametrize("wrap", WRAPPED, ids=lambda w: str(w.__name__))
def test_a_wrapped_signature_is_refused_inside_an_answer_of_the_sts(
    wrap: Callable[[Element], Element],
) -> None:
    trust = "http://docs.oasis-open.org/ws-sx/ws-trust/200512"
    root = etree.Element(f"{{{trust}}}RequestSecurityTokenResponse")
    etree.SubElement(root, f"{{{trust}}}RequestedSecurityToken").append(wrap(signed()))

    assert refusal(serialized(root)) in {"saml.one", "saml.ids"}


def change(root: Element, path: str, **attributes: str) -> None:
    node = root.find(path, {"ds": DS})
    assert node is not None
    for name, value in attributes.items():
        node.set(name, value)


def test_a_reference_to_the_whole_document_is_refused() -> None:
    root = signed()
    change(root, ".//ds:Reference", URI="")

    assert refusal(serialized(root)) == "saml.signature.reference"


def test_a_reference_outside_the_document_is_refused() -> None:
    root = signed()
    change(root, ".//ds:Reference", URI="https://elsewhere.example/signed.xml")

    assert refusal(serialized(root)) == "saml.signature.reference"


def test_a_second_reference_is_refused() -> None:
    root = signed()
    info = root[1][0]
    info.append(copy.deepcopy(info[2]))

    assert refusal(serialized(root)) == "saml.signature.reference"


@pytest.mark.parametrize(
    "algorithm",
    [
        "http://www.w3.org/TR/1999/REC-xslt-19991116",
        "http://www.w3.org/TR/1999/REC-xpath-19991116",
        "http://www.w3.org/2002/06/xmldsig-filter2",
        "http://www.w3.org/2000/09/xmldsig#base64",
        "http://www.w3.org/2001/10/xml-exc-c14n#WithComments",
        "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
    ],
)
def test_a_foreign_transform_is_refused(algorithm: str) -> None:
    root = signed()
    transforms = root.find(".//{http://www.w3.org/2000/09/xmldsig#}Transforms")
    assert transforms is not None
    transforms[1].set("Algorithm", algorithm)

    assert refusal(serialized(root)) == "saml.signature.form"


def test_a_third_transform_is_refused() -> None:
    root = signed()
    transforms = root.find(".//{http://www.w3.org/2000/09/xmldsig#}Transforms")
    assert transforms is not None
    transforms.append(copy.deepcopy(transforms[1]))

    assert refusal(serialized(root)) == "saml.signature.form"


@pytest.mark.parametrize(
    "algorithm",
    [
        "http://www.w3.org/2000/09/xmldsig#rsa-sha1",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-md5",
        "http://www.w3.org/2000/09/xmldsig#hmac-sha1",
        "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256",
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
        "",
    ],
)
def test_an_algorithm_that_was_not_agreed_is_refused(algorithm: str) -> None:
    root = signed()
    change(root, ".//ds:SignatureMethod", Algorithm=algorithm)

    assert refusal(serialized(root)) == "saml.signature.alg"


def test_a_sha1_digest_is_refused() -> None:
    root = signed()
    change(root, ".//ds:DigestMethod", Algorithm="http://www.w3.org/2000/09/xmldsig#sha1")

    assert refusal(serialized(root)) == "saml.signature.form"


def test_a_key_of_the_attacker_in_key_info_decides_nothing() -> None:
    forged = resigned(lambda root: None, signing=keys("attacker"))

    assert refusal(forged) == "saml.signature"


def test_a_pinned_certificate_beside_a_foreign_signature_decides_nothing() -> None:
    forged = etree.fromstring(resigned(lambda root: None, signing=keys("attacker")))
    genuine = signed()
    forged[1].replace(forged[1][2], copy.deepcopy(genuine[1][2]))

    assert refusal(serialized(forged)) == "saml.signature"


def test_a_foreign_certificate_beside_a_genuine_signature_changes_nothing() -> None:
    genuine = signed()
    foreign = etree.fromstring(resigned(lambda root: None, signing=keys("attacker")))
    genuine[1].replace(genuine[1][2], copy.deepcopy(foreign[1][2]))

    assert read(serialized(genuine), plain(), Trail()).system


def test_an_hmac_keyed_with_the_public_certificate_is_refused() -> None:
    hmac = "http://www.w3.org/2001/04/xmldsig-more#hmac-sha256"
    root = signed()
    change(root, ".//ds:SignatureMethod", Algorithm=hmac)

    assert refusal(serialized(root)) == "saml.signature.alg"


def test_a_changed_assertion_is_refused() -> None:
    forged = evil(signed(), named=str(signed().get("ID")), signature=True)
    forged[1][0][2].set("URI", f"#{forged.get('ID')}")

    assert refusal(serialized(forged)) == "saml.signature"


def test_no_signature_at_all_is_refused() -> None:
    assert refusal(serialized(unsigned(signed()))) == "saml.signed"


def test_a_signature_deeper_than_the_assertion_is_refused() -> None:
    root = signed()
    subject = root.find(tag("Subject"))
    assert subject is not None
    subject.append(root[1])

    assert refusal(serialized(root)) == "saml.signed"


def test_a_comment_that_cuts_the_name_in_two_is_refused() -> None:
    whole = assertion()
    cut = whole.replace(b"jansen@2.16", b"jansen@2<!-- -->.16")

    assert cut != whole
    assert refusal(cut) == "saml.plain"


def test_a_processing_instruction_is_refused() -> None:
    assert refusal(assertion().replace(b"<Subject>", b"<?go on?><Subject>")) == "saml.plain"


def test_several_assertions_are_refused_though_each_is_genuine() -> None:
    another = etree.fromstring(assertion(content(name_id="other@1.2.3")))

    assert refusal(serialized(response(signed(), another))) == "saml.one"


def test_a_response_without_an_assertion_is_refused() -> None:
    assert refusal(serialized(response())) == "saml.one"


@pytest.mark.parametrize("wrap", [xsw4, xsw5, xsw6, xsw8, in_advice], ids=lambda w: w.__name__)
def test_the_check_of_the_signature_resists_wrapping_by_itself(
    wrap: Callable[[Element], Element],
) -> None:
    forged = next(wrap(signed()).iter(tag("Assertion")))
    alone = etree.fromstring(serialized(forged))

    with pytest.raises(LdnError) as caught:
        verify(alone, (keys("sts").certificate,), ("rsa-sha256",), NOW, Trail())
    assert caught.value.detail.startswith("saml.sign")
