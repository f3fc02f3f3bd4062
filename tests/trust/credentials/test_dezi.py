"""DeziUserCredential: IG credential catalog; trust and broker §3.3; A15–A18, R70."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from trust.credentials.kit import Uzi, asking, defined, definition

from openldn.base.errors import LdnError
from openldn.fhir.identifiers import Ura
from openldn.trust import jose
from openldn.trust.credentials.content import instant
from openldn.trust.credentials.dezi import EQUAL
from openldn.trust.credentials.model import Presented
from openldn.trust.trail import Rule, Trail

UZI = Uzi()
HOSPITAL = UZI.party()
DEZI = jose.key_of(rsa.generate_private_key(65537, 2048))
OURS = Rule("test.statement", "the kit", "Dezi signed the statement, about this organization")


async def statement(text: str, organization: Ura, trail: Trail) -> None:
    """The port, honestly small: the signature, and nothing of lists or status."""
    token = jose.read(text, trail)
    jose.verify(token, DEZI, ["RS256"], trail)
    trail.require(token.claim("iss") == "https://dezi.example", OURS)


def claims(**other: Any) -> dict[str, Any]:
    begins = UZI.clock() - timedelta(minutes=1)
    return {
        "iss": "https://dezi.example",
        "nbf": int(begins.timestamp()),
        "exp": int((begins + timedelta(hours=8)).timestamp()),
        "abonnee_nummer": "90000382",
        "abonnee_naam": "Ziekenhuis Oost",
        "dezi_nummer": "900000009",
        "voorletters": "A.B.",
        "voorvoegsel": None,
        "achternaam": "Jansen",
        "rol_code": "01.015",
        "rol_naam": "Huisarts",
        "rol_code_bron": "http://www.dezi.nl/rol_bron/big",
        "verklaring_id": "statement-1",
        "status_uri": "https://dezi.example/status/1",
        **other,
    }


def written(said: dict[str, Any], kind: str = "DeziIDJWT07", **other: Any) -> dict[str, Any]:
    """The credential that repeats a statement."""
    inner = said | said.get("verklaring", {})
    return {
        "@context": ["https://www.w3.org/ns/credentials/v2"],
        "type": ["VerifiableCredential", "DeziUserCredential"],
        "issuer": inner["iss"],
        "validFrom": instant(datetime.fromtimestamp(inner["nbf"], UTC)),
        "validUntil": instant(datetime.fromtimestamp(inner["exp"], UTC)),
        "credentialSubject": {
            "id": HOSPITAL.holder.did,
            "identifier": inner["abonnee_nummer"],
            "name": inner["abonnee_naam"],
            "employee": {
                "identifier": inner["dezi_nummer"],
                "initials": inner["voorletters"],
                "surnamePrefix": inner["voorvoegsel"],
                "surname": inner["achternaam"],
                "role": inner["rol_code"],
                "role_name": inner["rol_naam"],
                "role_registry": inner["rol_code_bron"],
            },
        },
        "proof": {"type": kind, "jwt": jose.sign(said, DEZI, "RS256")},
        **other,
    }


def shown(dezi: dict[str, Any], *others: str, able: bool = True) -> Presented:
    credentials: list[Any] = [dezi, *others]
    text = HOSPITAL.present(credentials=credentials)
    verifier = UZI.verifier(statement=statement if able else None)
    return asyncio.run(verifier.verify(text, definition(), UZI.expected(), Trail()))


def refused(dezi: dict[str, Any], *others: str, able: bool = True) -> str:
    with pytest.raises(LdnError) as caught:
        shown(dezi, *(others or (HOSPITAL.x509(),)), able=able)
    return caught.value.detail


@pytest.mark.parametrize("kind", ["DeziIDJWT07", "DeziIDJWT"])
def test_a_person_comes_with_the_organization(kind: str) -> None:
    found = shown(written(claims(), kind), HOSPITAL.x509())

    person = found.credentials[0]
    assert person.claims["employee"] == ("900000009",)
    assert person.claims["role"] == ("01.015",)
    [evidence] = person.evidence
    assert (evidence.kind, evidence.id) == ("statement", "statement-1")
    assert evidence.status is not None
    assert evidence.status.url == "https://dezi.example/status/1"
    said = {name: values[0].value for name, values in found.captured.items()}
    assert said["organization_ura"] == "90000382"
    assert (said["dezi_nummer"], said["rol_code"]) == ("900000009", "01.015")


def test_the_values_may_stand_within_the_statement() -> None:
    said = claims()
    inner = {n: said.pop(n) for n in ("rol_code", "rol_naam", "rol_code_bron")}

    assert shown(written(said | {"verklaring": inner}), HOSPITAL.x509())


def test_a_credential_of_dezi_can_be_asked_for() -> None:
    person = {"id": "person", "path": ["$.credentialSubject.employee.identifier"]}
    wanted = defined(asking("X509Credential"), asking("DeziUserCredential", person))
    text = HOSPITAL.present(credentials=[HOSPITAL.x509(), written(claims())])
    verifier = UZI.verifier(statement=statement)

    found = asyncio.run(verifier.verify(text, wanted, UZI.expected(), Trail()))

    assert [v.value for v in found.captured["person"]] == ["900000009"]


def test_a15_r70_a_statement_never_stands_alone() -> None:
    with pytest.raises(LdnError) as caught:
        shown(written(claims()))
    assert caught.value.detail == "dezi-vc.alone"
    employee = HOSPITAL.says(
        "NutsEmployeeCredential", {"identifier": "1", "name": "A.", "roleName": "arts"}
    )
    assert refused(written(claims()), employee) == "dezi-vc.alone"


def test_a16_the_organization_of_the_statement_is_who_presents_it() -> None:
    assert refused(written(claims(abonnee_nummer="90000101"))) == "dezi-vc.ura"
    unequal = written(claims())
    unequal["credentialSubject"]["id"] = "did:web:other.example"
    assert refused(unequal) == "vp.presenter"


def _altered(place: str) -> dict[str, Any]:
    whole = written(claims())
    outer, _, inner = place.partition(".")
    if place.startswith("valid"):
        whole[place] = "2026-06-01T00:00:00Z"
    elif place == "issuer":
        whole[place] = "https://other.example"
    elif inner:
        whole["credentialSubject"][outer][inner] = "other"
    else:
        whole["credentialSubject"][outer] = "90000101"
    return whole


@pytest.mark.parametrize(("place", "claim"), EQUAL)
def test_a17_each_of_the_twelve_values_is_that_of_the_statement(place: str, claim: str) -> None:
    assert len(EQUAL) == 12
    assert refused(_altered(place)) == f"dezi-vc.{claim}"


def test_a17_what_is_left_out_is_not_equal_but_a_prefix_may_be() -> None:
    without = written(claims())
    del without["credentialSubject"]["employee"]["surname"]
    assert refused(without) == "dezi-vc.achternaam"
    no_prefix = written(claims())
    del no_prefix["credentialSubject"]["employee"]["surnamePrefix"]
    assert shown(no_prefix, HOSPITAL.x509())
    prefix = written(claims(voorvoegsel="van"))
    prefix["credentialSubject"]["employee"]["surnamePrefix"] = None
    assert refused(prefix) == "dezi-vc.voorvoegsel"


@pytest.mark.parametrize(
    "kind", ["DeziIDJWT08", "DeziIDJWT7", "dezIidjwt", "", None, ["DeziIDJWT"]]
)
def test_a18_another_version_is_refused(kind: Any) -> None:
    assert refused(written(claims(), kind)) == "dezi-vc.version"


def test_r70_a_statement_that_is_not_of_dezi_is_refused() -> None:
    false = written(claims())
    stranger = jose.key_of(rsa.generate_private_key(65537, 2048))
    false["proof"]["jwt"] = jose.sign(claims(), stranger, "RS256")

    assert refused(false) == "jwt.signature"
    assert refused(written(claims()), HOSPITAL.x509(), able=False) == "dezi-vc.statement"


def test_a_statement_ends() -> None:
    past = int((UZI.clock() - timedelta(hours=1)).timestamp())

    assert refused(written(claims(nbf=past - 60, exp=past))) == "vc.now"


@pytest.mark.parametrize(
    ("other", "code"),
    [
        ({"@context": ["https://www.w3.org/2018/credentials/v1"]}, "dezi-vc.form"),
        ({"credentialSubject": []}, "dezi-vc.form"),
        ({"proof": "text"}, "dezi-vc.form"),
        ({"proof": {"type": "DeziIDJWT07"}}, "dezi-vc.form"),
        ({"validUntil": "2026-31-07T00:00:00Z"}, "dezi-vc.exp"),
    ],
)
def test_what_is_not_such_a_credential_is_refused(other: dict[str, Any], code: str) -> None:
    assert refused(written(claims(), **other)) == code


def test_a_credential_of_dezi_is_not_a_jwt() -> None:
    said = {"identifier": "90000382", "employee": {"identifier": "1", "role": "01.015"}}

    assert refused(written(claims()), HOSPITAL.says("DeziUserCredential", said)) == "vc.type"
