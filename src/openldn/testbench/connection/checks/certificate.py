"""C10-C11, C17-C22: the certificate that the server shows, and whether it still counts."""

import ssl
from datetime import datetime, timedelta
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from openldn.base.errors import LdnError
from openldn.testbench.connection.model import Result, failed, judged, passed, skipped, warned
from openldn.testbench.connection.visit import Visit, json_of
from openldn.trust.certificates import Anchors, party_of
from openldn.trust.certificates.forecast import OK, level
from openldn.trust.certificates.party import quiet

SKEW = timedelta(minutes=5)
ADVISED_RSA = 3072
URA_SYSTEM = "http://fhir.nl/fhir/NamingSystem/ura"
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


async def key(visit: Visit) -> Result:
    """C10."""
    chain = await visit.chain()
    if not chain:
        return skipped("chain")
    found = chain[0].public_key()
    match found:
        case rsa.RSAPublicKey():
            bits = found.key_size
            if visit.target.profile.rsa_bits <= bits < ADVISED_RSA:
                return warned(f"RSA {bits} bits")
            return judged(bits >= ADVISED_RSA, f"RSA {bits} bits")
        case ec.EllipticCurvePublicKey():
            name = found.curve.name
            return judged(name in _CURVES, f"ECDSA {_CURVES.get(name, name)}")
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            allowed = "eddsa" in visit.target.profile.signature_algorithms
            return judged(allowed, "EdDSA")
    return failed(type(found).__name__)


async def signature(visit: Visit) -> Result:
    """C11: a root signs itself, which proves nothing, so it is left out."""
    chain = await visit.chain()
    if not chain:
        return skipped("chain")
    names = [_hash(c) for c in chain if c.subject != c.issuer or c is chain[0]]
    good = all(n == "eddsa" or n in visit.target.profile.hashes for n in names)
    return judged(good, ", ".join(names))


def _hash(certificate: x509.Certificate) -> str:
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return f"unknown ({certificate.signature_algorithm_oid.dotted_string})"
    return algorithm.name if algorithm else "eddsa"


async def leads(visit: Visit) -> Result:
    """C17."""
    chain = await visit.chain()
    if not chain:
        return skipped("chain")
    said = f"{len(chain)} certificates"
    for below, above in pairwise(chain):
        if not _issued(below, above):
            return failed(f"{said}; not in order: {_name(below)} is not issued by {_name(above)}")
    anchors = _anchors(visit)
    if not anchors.certificates:
        return skipped("anchors", said)
    moment = min(visit.clock(), chain[0].not_valid_after_utc)  # whether it ended is C19
    try:
        anchors.check(chain, moment)
    except LdnError:
        return failed(f"{said}; {_name(chain[-1])} does not lead to a trusted authority")
    return passed(f"{said}, in order, issued by {chain[-1].issuer.rfc4514_string()}")


def _anchors(visit: Visit) -> Anchors:
    """Those of --ca, else those of this machine."""
    if visit.target.given.ca is not None:
        return Anchors.load(visit.target.given.ca)
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    with quiet():  # some authorities of the web have odd certificates; that is theirs
        return Anchors(tuple(x509.load_der_x509_certificate(c) for c in found))


def _issued(below: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "a certificate without name"


async def host(visit: Visit) -> Result:
    """C18."""
    chain = await visit.chain()
    if not chain:
        return skipped("chain")
    names = _names(chain[0])
    said = f"subjectAltName: {', '.join(names) or 'none'}"
    wild = any("*" in n for n in names)
    return judged(visit.target.host.lower() in names and not wild, said)


def _names(certificate: x509.Certificate) -> list[str]:
    """Host names, and addresses in their usual form."""
    try:
        kind = x509.SubjectAlternativeName
        found = certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    hosts = [n.lower() for n in found.get_values_for_type(x509.DNSName)]
    return hosts + [str(a) for a in found.get_values_for_type(x509.IPAddress)]


async def validity(visit: Visit) -> Result:
    """C19."""
    chain = await visit.chain()
    if not chain:
        return skipped("chain")
    now, begins = visit.clock(), chain[0].not_valid_before_utc
    ends = min(c.not_valid_after_utc for c in chain)
    said = f"valid {begins:%Y-%m-%d} to {ends:%Y-%m-%d}"
    if begins <= now <= ends and level(ends - now) != OK:
        return warned(f"{said}: {(ends - now).days} days left")
    return judged(begins <= now <= ends, said)


async def crl(visit: Visit) -> Result:
    """C20."""
    chain = await visit.chain()
    if not chain:
        return skipped("chain")
    urls = _points(chain[0])
    if not urls:
        return skipped("revocation")
    issuer = _issuer(chain, visit)
    if issuer is None:
        return failed(f"{urls[0]}: the issuer's certificate is not known")
    try:
        reply = await visit.get(urls[0])
    except LdnError as error:
        return failed(f"{urls[0]}: {error.message}")
    problem = _crl_problem(reply.body if reply.status == 200 else b"", chain[0], issuer, visit)
    return judged(not problem, f"{urls[0]}: {problem or 'fresh, signed, not listed'}")


def _crl_problem(
    body: bytes, leaf: x509.Certificate, issuer: x509.Certificate, visit: Visit
) -> str:
    try:
        pem = body.startswith(b"-----BEGIN")
        found = (x509.load_pem_x509_crl if pem else x509.load_der_x509_crl)(body)
        signed = found.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "not a CRL"
    if not signed or found.issuer != issuer.subject:
        return "not signed by the issuer of the certificate"
    ends = found.next_update_utc
    if ends is None or ends < visit.clock() or found.last_update_utc > visit.clock() + SKEW:
        return f"not fresh (until {ends:%Y-%m-%d %H:%M})" if ends else "without end"
    listed = found.get_revoked_certificate_by_serial_number(leaf.serial_number)
    return "the certificate is revoked" if listed else ""


def _points(certificate: x509.Certificate) -> list[str]:
    try:
        kind = x509.CRLDistributionPoints
        points = certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    names = [n for p in points for n in p.full_name or ()]
    return [n.value for n in names if isinstance(n, x509.UniformResourceIdentifier)]


def _issuer(chain: tuple[x509.Certificate, ...], visit: Visit) -> x509.Certificate | None:
    candidates = (*chain[1:], *_anchors(visit).certificates)
    return next((c for c in candidates if _issued(chain[0], c)), None)


async def status(visit: Visit) -> Result:
    """C21."""
    chain, flight = await visit.chain(), await visit.flight()
    if not chain or flight is None:
        return skipped("chain")
    issuer = _issuer(chain, visit)
    if issuer is None:
        return skipped("chain", "the issuer's certificate is not known")
    if flight.stapled:
        problem = _status_problem(flight.stapled, chain[0], issuer, visit.clock())
        return judged(not problem, f"stapled: {problem or 'good'}")
    url = _responder(chain[0])
    if not url:
        return skipped("revocation", "not stapled")
    try:
        body = await _asked(visit, url, chain[0], issuer)
    except LdnError as error:
        return failed(f"not stapled; {url}: {error.message}")
    problem = _status_problem(body, chain[0], issuer, visit.clock())
    return failed(f"{url}: {problem}") if problem else warned(f"not stapled; {url}: good")


async def _asked(visit: Visit, url: str, leaf: x509.Certificate, issuer: x509.Certificate) -> bytes:
    builder = ocsp.OCSPRequestBuilder().add_certificate(leaf, issuer, hashes.SHA1())  # noqa: S303
    body = builder.build().public_bytes(serialization.Encoding.DER)
    headers = {"content-type": "application/ocsp-request"}
    return (await visit.send(url, "POST", headers=headers, body=body)).body


def _responder(certificate: x509.Certificate) -> str:
    try:
        kind = x509.AuthorityInformationAccess
        found = certificate.extensions.get_extension_for_class(kind).value
    except (x509.ExtensionNotFound, ValueError):
        return ""
    places = [
        d.access_location for d in found if d.access_method == AuthorityInformationAccessOID.OCSP
    ]
    return next((p.value for p in places if isinstance(p, x509.UniformResourceIdentifier)), "")


def _status_problem(
    body: bytes, leaf: x509.Certificate, issuer: x509.Certificate, now: datetime
) -> str:
    try:
        found = ocsp.load_der_ocsp_response(body)
        if found.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            return found.response_status.name.lower()
        if found.serial_number != leaf.serial_number:
            return "about another certificate"
        if not _by_responder(found, issuer):
            return "not signed by the issuer or its responder"
    except (ValueError, UnsupportedAlgorithm):
        return "not an OCSP response"
    ends = found.next_update_utc
    if found.this_update_utc > now + SKEW or (ends is not None and ends < now):
        return "not fresh"
    good = found.certificate_status is ocsp.OCSPCertStatus.GOOD
    return "" if good else found.certificate_status.name.lower()


def _by_responder(found: ocsp.OCSPResponse, issuer: x509.Certificate) -> bool:
    """Signed by the issuer, or by who the issuer lets sign this. Source: RFC 6960 §4.2.2.2."""
    delegates = [c for c in found.certificates if _issued(c, issuer) and _may_answer(c)]
    return any(_signed(found, c) for c in (issuer, *delegates))


def _may_answer(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return ExtendedKeyUsageOID.OCSP_SIGNING in usage


def _signed(found: ocsp.OCSPResponse, by: x509.Certificate) -> bool:
    key, algorithm = by.public_key(), found.signature_hash_algorithm
    content, proof = found.tbs_response_bytes, found.signature
    try:
        match key:
            case rsa.RSAPublicKey() if algorithm:
                key.verify(proof, content, padding.PKCS1v15(), algorithm)
            case ec.EllipticCurvePublicKey() if algorithm:
                key.verify(proof, content, ec.ECDSA(algorithm))
            case _:
                return False
    except InvalidSignature:
        return False
    return True


async def organization(visit: Visit) -> Result:
    """C22."""
    chain = await visit.chain()
    if not chain:
        return skipped("chain")
    try:
        found = party_of(chain[0].public_bytes(serialization.Encoding.DER)).ura.value
    except LdnError:
        return failed("no UZI number in the certificate")
    given = visit.target.given
    if given.ura:
        return judged(found == given.ura.zfill(8), f"URA {found}; expected {given.ura.zfill(8)}")
    if not given.directory:
        return skipped("ura", f"URA {found}")
    url = f"{given.directory}/Organization?identifier={URA_SYSTEM}%7C{found}"
    reply = await visit.get(url)
    entries = json_of(reply).get("entry") or []
    return judged(bool(entries), f"URA {found}; directory: {len(entries)} entries")


LOOKS = {
    "C10": key,
    "C11": signature,
    "C17": leads,
    "C18": host,
    "C19": validity,
    "C20": crl,
    "C21": status,
    "C22": organization,
}
