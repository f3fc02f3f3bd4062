"""DIDs as text: W3C DID Core, did:web, did:x509 with Nuts RFC023; rule R57."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openldn.base.errors import Issue, LdnError
from openldn.trust.credentials.did import Policy, parse, parse_url
from openldn.trust.trail import Trail

PRINT = "9E-xSskBSxcD4nQ6KhrwCSAcC3b_80Ou2uUNnT-bf90"
X509 = f"did:x509:0:sha256:{PRINT}"


def refused(text: str) -> str:
    with pytest.raises(LdnError) as caught:
        parse(text)
    assert caught.value.issue is Issue.INVALID
    return caught.value.detail


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("did:web:node.example", "https://node.example/.well-known/did.json"),
        ("did:web:node.example%3A8443", "https://node.example:8443/.well-known/did.json"),
        (
            "did:web:node.example%3a8443:iam:90000382",
            "https://node.example:8443/iam/90000382/did.json",
        ),
        ("did:web:localhost:iam:a.b_c-d", "https://localhost/iam/a.b_c-d/did.json"),
    ],
)
def test_a_did_web_tells_its_address(text: str, address: str) -> None:
    assert parse(text).address == address


@pytest.mark.parametrize(
    "text",
    [
        "did:web:127.0.0.1",
        "did:web:node.example%3A99999",
        "did:web:node.example%3A0",
        "did:web:node.example%3A80%3A80",
        "did:web:user%40node.example",
        "did:web:node.example%2Fetc",
        "did:web:node.example:..:did",
        "did:web:node.example:a%2Fb",
        "did:web:node.example::a",
        "did:web:-node.example",
        "did:web:node..example",
    ],
)
def test_a_did_web_that_could_lead_astray_is_refused(text: str) -> None:
    assert refused(text) == "did.web"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "did.form"),
        ("did:web:", "did.form"),
        ("did:web:node.example:", "did.form"),
        ("DID:web:node.example", "did.form"),
        ("did:WEB:node.example", "did.form"),
        ("did:web:node.example/path", "did.form"),
        ("did:web:node.example#0", "did.form"),
        ("did:web:node.example%3", "did.form"),
        ("did:web:node.example\n", "did.form"),
        (f"did:web:{'a' * 5000}", "did.form"),
        ("did:nuts:abc", "did.method"),
        ("did:key:z6M:x", "did.form"),
    ],
)
def test_another_form_or_method_is_refused_by_name(text: str, code: str) -> None:
    assert refused(text) == code


def test_repeated_groups_and_pairs_in_one_group_say_the_same() -> None:
    together = parse(f"{X509}::subject:O:Ziekenhuis%20Oost:L:Amsterdam::san:otherName:1-2")
    apart = parse(f"{X509}::subject:O:Ziekenhuis%20Oost::subject:L:Amsterdam::san:otherName:1-2")

    assert together.x509 is not None and apart.x509 is not None
    assert together.x509.policies == apart.x509.policies
    assert together.x509.policies[0] == Policy("subject", "O", "Ziekenhuis Oost")


def test_a_value_is_decoded_once_as_utf_8() -> None:
    name = parse(f"{X509}::subject:O:Zorg%C3%A9%3A%25").x509

    assert name is not None
    assert name.policies[0].value == "Zorgé:%"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"did:x509:0:sha1:{PRINT}::subject:O:A", "did.x509.hash"),
        (f"did:x509:0:md5:{PRINT}::subject:O:A", "did.x509.hash"),
        (f"did:x509:1:sha256:{PRINT}::subject:O:A", "did.x509.form"),
        (f"did:x509:0:sha256:{PRINT[1:]}::subject:O:A", "did.x509.form"),
        (f"did:x509:0:sha384:{PRINT}::subject:O:A", "did.x509.form"),
        (f"did:x509:0:sha256:{PRINT}", "did.x509.form"),
        ("did:x509:subject:O:Amsterdam", "did.x509.form"),
        (f"{X509}::subject:O", "did.x509.form"),
        (f"{X509}::subject:O:A:L", "did.x509.form"),
        (f"{X509}::subject:o:A", "did.x509.key"),
        (f"{X509}::Subject:O:A", "did.x509.key"),
        (f"{X509}::san:othername:A", "did.x509.key"),
        (f"{X509}::fulcio-issuer:github.com", "did.x509.key"),
        (f"{X509}::eku:not-an-oid", "did.x509.key"),
        (f"{X509}::subject:O:Dr%2527s", "did.x509.value"),
        (f"{X509}::subject:O:%FF", "did.x509.value"),
        (f"{X509}::subject:O:%00", "did.x509.value"),
    ],
)
def test_a_did_x509_is_exactly_as_agreed(text: str, code: str) -> None:
    assert refused(text) == code


def test_sha384_sha512_and_eku_are_read() -> None:
    assert parse(f"did:x509:0:sha384:{'A' * 64}::eku:1.3.6.1.5.5.7.3.36").x509
    assert parse(f"did:x509:0:sha512:{'A' * 86}::san:ip:192.0.2.1").x509


@pytest.mark.parametrize(
    "kid", ["", "#0", "did:web:other.example#0", "did:web:a.example", "did:web:a.example#"]
)
def test_a_kid_names_a_key_of_the_issuer(kid: str) -> None:
    with pytest.raises(LdnError) as caught:
        parse_url(kid, "did:web:a.example", Trail())

    assert caught.value.detail == "did.kid"
    assert parse_url("did:web:a.example#key-1", "did:web:a.example", Trail()) == "key-1"


@given(
    st.text(max_size=80)
    | st.from_regex(r"did:(web|key|jwk|x509):[A-Za-z0-9:%._-]{0,120}", fullmatch=True)
)
def test_no_text_breaks_the_reader_of_dids(text: str) -> None:
    try:
        found = parse(text)
    except LdnError as error:
        assert error.detail.startswith("did.")
    else:
        assert found.text == text
