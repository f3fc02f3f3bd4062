"""What a test authority has revoked: its book, its list (CRL), and its answers (OCSP)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, utc_now
from openldn.trust.certificates.issue import (
    Authority,
    existing_authority,
    signed_list,
    write_whole,
)

LIST_HOURS = 24.0  # how long a list counts
ANSWER_HOURS = 1.0  # how long an answer counts
_BOOK = "revoked.json"
_PUBLIC = 0o644
Entries = Mapping[int, tuple[datetime, x509.ReasonFlags]]


class _Entry(msgspec.Struct, frozen=True):
    """One line of the book."""

    serial: str  # hexadecimal
    moment: datetime
    reason: str = x509.ReasonFlags.unspecified.value


@dataclass(frozen=True)
class Revoking:
    """The authority of a folder as one that revokes."""

    folder: Path
    clock: Clock = utc_now

    def revoke(self, serial: int, reason: str = x509.ReasonFlags.unspecified.value) -> None:
        """Write this serial number in the book, once; lists and answers made from now on tell it.

        Raises LdnError: invalid for a reason that RFC 5280 §5.3.1 does not have, exception when
        the book cannot be read or written.
        """
        _reason(reason)
        book = self._book()
        if any(int(entry.serial, 16) == serial for entry in book):
            return
        book.append(_Entry(f"{serial:x}", self.clock(), reason))
        write_whole(self.folder / _BOOK, msgspec.json.encode(book), mode=_PUBLIC)

    def revoked(self) -> Entries:
        """What stands in the book: serial number -> when, and why."""
        return {int(e.serial, 16): (e.moment, _reason(e.reason)) for e in self._book()}

    def crl(self, hours: float = LIST_HOURS) -> bytes:
        """A fresh list (CRL, DER); raises LdnError(exception) without a usable authority."""
        now = self.clock()
        span = (now, now + timedelta(hours=hours))
        return signed_list(existing_authority(self.folder, now), self.revoked(), span)

    def answer(self, request: bytes, hours: float = ANSWER_HOURS) -> bytes:
        """The answer (OCSP, DER) to this request; to what is not ours or not OCSP a refusal.

        Source: RFC 6960 §4.2. The authority signs itself; a nonce is not given back.
        """
        now = self.clock()
        try:
            asked = ocsp.load_der_ocsp_request(request)
            authority = existing_authority(self.folder, now)
            if not _ours(asked, authority):
                return _refusal(ocsp.OCSPResponseStatus.UNAUTHORIZED)
        except (ValueError, NotImplementedError):
            return _refusal(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)
        return self._told(asked, authority, (now, now + timedelta(hours=hours)))

    def _told(
        self, asked: ocsp.OCSPRequest, authority: Authority, span: tuple[datetime, datetime]
    ) -> bytes:
        moment, reason = self.revoked().get(asked.serial_number, (None, None))
        status = ocsp.OCSPCertStatus.REVOKED if moment else ocsp.OCSPCertStatus.GOOD
        built = (
            ocsp.OCSPResponseBuilder()
            .add_response_by_hash(
                issuer_name_hash=asked.issuer_name_hash,
                issuer_key_hash=asked.issuer_key_hash,
                serial_number=asked.serial_number,
                algorithm=asked.hash_algorithm,
                cert_status=status,
                this_update=span[0],
                next_update=span[1],
                revocation_time=moment,
                revocation_reason=reason,
            )
            .responder_id(ocsp.OCSPResponderEncoding.HASH, authority.certificate)
            .certificates([authority.certificate])
            .sign(authority.key, hashes.SHA256())
        )
        return built.public_bytes(Encoding.DER)

    def _book(self) -> list[_Entry]:
        try:
            content = (self.folder / _BOOK).read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise LdnError(Issue.EXCEPTION, f"cannot read {self.folder / _BOOK}") from error
        try:
            return msgspec.json.decode(content, type=list[_Entry])
        except msgspec.MsgspecError as error:
            text = f"{self.folder / _BOOK} is not a list of revocations; restore it"
            raise LdnError(Issue.EXCEPTION, text) from error


def serial_of(text: str) -> int:
    """The serial number in hexadecimal, or of the first certificate in a PEM file of that name.

    Raises LdnError(invalid).
    """
    path = Path(text)
    try:
        if path.is_file():
            return x509.load_pem_x509_certificates(path.read_bytes())[0].serial_number
        return int(text.replace(":", ""), 16)
    except (OSError, ValueError) as error:
        what = "is neither a PEM file with a certificate nor a serial number in hexadecimal"
        raise LdnError(Issue.INVALID, f"--revoke {text} {what}") from error


def _ours(asked: ocsp.OCSPRequest, authority: Authority) -> bool:
    algorithm = asked.hash_algorithm
    kinds = (hashes.SHA1, hashes.SHA256)
    if not isinstance(algorithm, kinds):
        return False
    issuer = authority.certificate
    key_hash = ocsp.OCSPRequestBuilder().add_certificate(issuer, issuer, algorithm).build()
    name_hash = hashes.Hash(algorithm)
    name_hash.update(issuer.subject.public_bytes())
    same_name = asked.issuer_name_hash == name_hash.finalize()
    return same_name and asked.issuer_key_hash == key_hash.issuer_key_hash


def _refusal(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)


def _reason(text: str) -> x509.ReasonFlags:
    try:
        return x509.ReasonFlags(text)
    except ValueError as error:
        names = ", ".join(r.value for r in x509.ReasonFlags)
        raise LdnError(Issue.INVALID, f"no reason {text!r}; choose from {names}") from error
