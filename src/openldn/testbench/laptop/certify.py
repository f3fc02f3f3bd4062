"""The certificates of the network on a laptop: one authority, two certificates per party."""

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from openldn.base.runtime import Clock
from openldn.fhir.identifiers import Ura
from openldn.testbench.laptop.ground import write
from openldn.testbench.laptop.plan import SAML, Plan
from openldn.testbench.members import BROKER, LOCALIZATION, OPERATORS, PLATFORM, Member
from openldn.trust.certificates.issue import (
    Shape,
    Subject,
    Term,
    create_authority,
    issue_server,
    issue_signing,
    served_at,
)


def certify(plan: Plan, clock: Clock) -> None:
    """Make the test authority and each part's certificates, where they are not there yet.

    Certificates tell at which port what they revoke is told: on another port they are made anew.
    """
    address, mark = plan.origin("authority"), plan.pki / "served-at"
    create_authority(plan.pki, clock, address)
    anew = not mark.exists() or mark.read_text(encoding="utf-8") != address
    term, shape = Term(clock), served_at(address)
    for member in (*plan.members, *OPERATORS, *plan.parties):
        folder, subject = plan.pki / member.key, _subject(member)
        if anew or not (folder / "server.pem").exists():
            issue_server(folder, subject, term, shape)
        if anew or not (folder / "signing.pem").exists():
            issue_signing(folder, subject, term, _shaped(member, address))
            write(folder / "pinned.pem", _leaf(folder / "signing.pem"))
    if anew or not (plan.pki / SAML / "signing.pem").exists():
        issue_signing(plan.pki / SAML, _subject(BROKER), term, served_at(address))
        write(plan.pki / SAML / "pinned.pem", _leaf(plan.pki / SAML / "signing.pem"))
    write(plan.pki / "broker" / "anchors.pem", _anchors(plan))
    write(mark, address)


def leaf(path: Path) -> x509.Certificate:
    """The first certificate in a PEM file."""
    return x509.load_pem_x509_certificates(path.read_bytes())[0]


def _subject(member: Member) -> Subject:
    return Subject(Ura.parse(member.ura), member.name, agb=member.agb)


def _shaped(member: Member, address: str) -> Shape:
    """Zorgplatform signs with RSA; to the index others encrypt, which needs it too."""
    return served_at(address, "rsa" if member in {PLATFORM, LOCALIZATION} else "ec")


def _leaf(path: Path) -> str:
    return leaf(path).public_bytes(Encoding.PEM).decode()


def _anchors(plan: Plan) -> str:
    """Whom the broker believes: the issuing authority, and who signs SAML."""
    files = (plan.pki / "issuing.pem", plan.pki / PLATFORM.key / "pinned.pem")
    return "".join(path.read_text(encoding="utf-8") for path in files)
