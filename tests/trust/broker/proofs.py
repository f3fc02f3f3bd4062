"""Proofs as the verifiers give them, and bounds to turn them within."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from openldn.fhir.identifiers import Bsn, Ura
from openldn.trust.broker.model import Asked, Audience, Terms
from openldn.trust.evidence import Evidence, Kind, Proof
from openldn.trust.parties import Person
from openldn.trust.peers import profile

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BROKER = "https://broker.example/oauth2/broker"
ASKER, HOLDER = Ura("90000382"), Ura("90000385")
ISSUER = "https://holder.example/oauth2/90000385"
PERSON = Person("900001234", "01.015", "A. Arts")
PATIENT = Bsn("999990019")
CERTIFICATE = Evidence(Kind.CERTIFICATE, "thumbprint", "CN=UZI CA", NOW + timedelta(days=30))

PROOF = Proof(
    dialect="twiin",
    subject=ASKER.value,
    organization=ASKER,
    issued=NOW - timedelta(seconds=1),
    expires=NOW + timedelta(minutes=4),
    evidence=(CERTIFICATE,),
    organization_name="Huisartsenpraktijk De Linde",
    person=PERSON,
    patient=PATIENT,
    purpose="TREAT",
    authorization_base="task-1",
)
SIDES = {  # infrastructure -> what it speaks, its profile
    "lsp": ("jwt", "twiin"),
    "nuts": ("vp", "ig-2026"),
    "zorgplatform": ("saml", "zorgplatform"),
}


def audience(infrastructure: str, **changes: Any) -> Audience:
    _, name = SIDES[infrastructure]
    return replace(Audience(ISSUER, HOLDER, infrastructure, profile(name)), **changes)


def asked(infrastructure: str = "nuts", **changes: Any) -> Asked:
    gives, _ = SIDES[infrastructure]
    scopes = frozenset({"bgz:pull"})
    return replace(Asked(audience(infrastructure), gives, scopes, ASKER, "tls-print"), **changes)


def terms(**changes: Any) -> Terms:
    return replace(Terms(BROKER, NOW, "id-1"), **changes)
