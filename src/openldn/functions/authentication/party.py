"""Whom the client certificate of a connection names: a care provider, or a party with an OIN."""

from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Oin
from openldn.functions.authentication.model import Party
from openldn.trust.certificates import require_party
from openldn.trust.certificates.party import load, quiet


def party_on(certificate: bytes | None, now: datetime) -> Party:
    """Who holds the connection on which TLS accepted this certificate (DER).

    A UZI server certificate names its URA; a PKIoverheid certificate its OIN, as the serial
    number of the subject. Raises LdnError(login) for none, for another kind, and for one that
    does not count now. Source: Logius, PKIoverheid programma van eisen, subject.serialNumber.
    """
    found = _government(certificate) if certificate else None
    if found is None:
        shown = require_party(certificate, now)
        return Party(shown.ura.value, shown.name, shown.ura)
    party, begins, ends = found
    if not begins <= now <= ends:
        text = "your certificate is not valid now; renew it"
        raise LdnError(Issue.LOGIN, text, detail="certificate expired")
    return party


@lru_cache(maxsize=1024)
def _government(der: bytes) -> tuple[Party, datetime, datetime] | None:
    certificate = load(der)
    with quiet():
        numbers = certificate.subject.get_attributes_for_oid(NameOID.SERIAL_NUMBER)
        names = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    if len(numbers) != 1 or not _for_clients(certificate):
        return None
    try:
        oin = Oin.parse(str(numbers[0].value))
    except LdnError:
        return None
    name = str(names[0].value) if names else ""
    return Party(oin.value, name), certificate.not_valid_before_utc, certificate.not_valid_after_utc


def _for_clients(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages
