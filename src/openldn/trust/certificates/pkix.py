"""The library's word on a CRL or an OCSP answer; it is given the documents and fetches nothing.

Source: RFC 5280 §6.3, RFC 6960 §3.2, as pyhanko-certvalidator does them.
"""

from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any

from asn1crypto import crl as asn1_crl  # type: ignore[import-untyped] # it ships no types
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pyhanko_certvalidator.authority import CertTrustAnchor
from pyhanko_certvalidator.context import ValidationContext
from pyhanko_certvalidator.errors import (
    CRLValidationError,
    OCSPValidationError,
    PathError,
    RevokedError,
    ValidationError,
)
from pyhanko_certvalidator.path import ValidationPath
from pyhanko_certvalidator.revinfo.validate_crl import verify_crl
from pyhanko_certvalidator.revinfo.validate_ocsp import verify_ocsp_response

SLACK = timedelta(minutes=5)  # clocks of authorities and ours may differ
_FAULTS = (
    *(CRLValidationError, OCSPValidationError, ValidationError, PathError),
    # what the library stumbles over when an answer is malformed in ways it does not expect
    *(ValueError, TypeError, LookupError, AttributeError, ArithmeticError, NotImplementedError),
)


class Unfit(Exception):
    """The document is not a sound answer about this certificate."""


def require_sound_crl(
    pair: tuple[x509.Certificate, x509.Certificate], crl: bytes, moment: datetime
) -> None:
    """Believe that this CRL is about such certificates (first of the pair; then who signed it).

    The signature is checked before, over the whole: the library would build a path to a root,
    and our anchor may be an intermediate. Its entries are left out here and looked up by an
    index: the library would take a second for each 50,000. Raises Unfit.
    """
    certificate, path = _path(pair)
    listed = asn1_crl.CertificateList.load(crl)
    try:
        listed["tbs_cert_list"]["revoked_certificates"] = asn1_crl.RevokedCertificates([])
        context = _context(path, moment, crls=[listed])
        known: Any = context.revinfo_manager
        known.record_crl_issuer(listed, path.first)
    except _FAULTS as error:
        raise Unfit(type(error).__name__) from error
    _revoked(verify_crl(certificate, path, context, use_deltas=False))


def revoked_by_ocsp(
    pair: tuple[x509.Certificate, x509.Certificate], answer: bytes, moment: datetime
) -> bool:
    """Whether this OCSP answer revokes the certificate (first of the pair; then its issuer).

    Raises Unfit for an answer about another, by another, or that does not know.
    """
    certificate, path = _path(pair)
    context = _context(path, moment, ocsps=[answer])
    return _revoked(verify_ocsp_response(certificate, path, context))


def _revoked(work: Coroutine[Any, Any, None]) -> bool:
    try:
        work.send(None)
    except StopIteration:
        return False
    except RevokedError:
        return True
    except _FAULTS as error:
        raise Unfit(type(error).__name__) from error
    raise AssertionError("the library waited for something, and may fetch nothing")


def _path(
    pair: tuple[x509.Certificate, x509.Certificate],
) -> tuple[asn1.Certificate, ValidationPath]:
    """The certificate below its issuer, which is believed already: as anchor of a short path."""
    below, above = (asn1.Certificate.load(c.public_bytes(Encoding.DER)) for c in pair)
    return below, ValidationPath(CertTrustAnchor(above), [], below)


def _context(path: ValidationPath, moment: datetime, **documents: Any) -> ValidationContext:
    return ValidationContext(
        trust_roots=[path.trust_anchor],
        moment=moment,
        revocation_mode="hard-fail",
        allow_fetching=False,
        time_tolerance=SLACK,
        **documents,
    )
