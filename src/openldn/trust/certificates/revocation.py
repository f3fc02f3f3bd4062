"""Lists of revoked certificates and answers about one: what they say, and which may replace which.

Source: RFC 5280 §5 and §6.3 (CRL), RFC 6960 (OCSP).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cached_property

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock
from openldn.trust.certificates.party import quiet, thumbprint
from openldn.trust.certificates.pkix import SLACK, Unfit, require_sound_crl, revoked_by_ocsp
from openldn.trust.documents import Ask, Terms

Pair = tuple[x509.Certificate, x509.Certificate]  # a certificate and who issued it
_MOST = 2  # addresses of one certificate that we try
_KNOWN = frozenset({x509.CRLNumber.oid, x509.AuthorityKeyIdentifier.oid})
_PARSING = (
    *(ValueError, TypeError, OverflowError, InvalidSignature, UnsupportedAlgorithm),
    *(x509.DuplicateExtension, x509.UnsupportedGeneralNameType, x509.InvalidVersion),
)


@dataclass(frozen=True)
class Freshness:
    """How old what an authority said may be."""

    fresh: float = 30.0  # seconds before we look again; what is revoked is noticed within this
    longest: float = 4 * 3600.0  # seconds the last good one serves while no new one comes


@dataclass(eq=False)
class Crl:
    """A list of revoked certificates that its issuer signed."""

    listed: x509.CertificateRevocationList = field(repr=False)
    number: int
    begins: datetime
    ends: datetime
    read: datetime  # when it last came to us
    before: "Crl | None" = field(default=None, repr=False)  # serves while this one is examined
    fault: str | None = None  # what the library found; None: not examined yet, empty: sound

    @cached_property
    def serials(self) -> frozenset[int]:
        """The serial numbers that are revoked; made once for the list."""
        return frozenset(entry.serial_number for entry in self.listed)

    def revokes(self, pair: Pair) -> bool:
        """Whether the certificate (the first of the pair) is on the list."""
        return pair[0].serial_number in self.serials

    def last_good(self) -> "Crl | None":
        """This list unless the library found a fault in it; then the one before."""
        return self.before if self.fault else self

    def serves(self, moment: datetime, longest: float) -> bool:
        """Whether it is sound and may still be used."""
        age = (moment - self.read).total_seconds()
        return self.fault == "" and self.ends > moment and age < longest

    def sound(self) -> "Crl":
        """This list once examined; raises LdnError(incomplete) when the library found a fault."""
        if self.fault != "":
            raise _unfit("CRL", self.fault or "not examined")
        return self

    def examine(self, pair: Pair, moment: datetime) -> None:
        """Let the library judge the list for this certificate, and make the index.

        A national list takes a while: not for the event loop.
        """
        try:
            require_sound_crl(pair, self.listed.public_bytes(Encoding.DER), moment)
            _ = self.serials
        except (Unfit, *_PARSING) as error:
            self.fault = str(error) or type(error).__name__
            return
        self.fault, self.before = "", None


@dataclass(eq=False)
class Answer:
    """What the authority's responder said of one certificate."""

    revoked: bool
    begins: datetime
    ends: datetime

    def revokes(self, pair: Pair) -> bool:
        """Whether the certificate is revoked."""
        return self.revoked


Document = Crl | Answer


@dataclass(frozen=True)
class Source:
    """Where, and how, to learn whether one certificate is revoked."""

    kind: str  # crl, ocsp
    url: str
    issuer: str  # the authority, as its certificate names it
    key: str  # the address in `Documents`: kept apart per issuer, and for OCSP per certificate
    terms: Terms[Document] = field(repr=False)
    ask: Ask | None = field(repr=False, default=None)

    def __str__(self) -> str:
        return f"{self.kind.upper()} of {self.issuer} at {self.url}"


def sources(pair: Pair, kind: str, freshness: Freshness, clock: Clock) -> tuple[Source, ...]:
    """Where the certificate says it can be looked up, by CRL or by OCSP; at most two places."""
    make = _crl_source if kind == "crl" else _ocsp_source
    found = _distribution(pair[0]) if kind == "crl" else _responders(pair[0])
    return tuple(make(pair, url, freshness, clock) for url in list(found)[:_MOST])


def _crl_source(pair: Pair, url: str, freshness: Freshness, clock: Clock) -> Source:
    def read(body: bytes, before: Document | None) -> Document:
        return read_crl(body, pair, (url, clock()), before if isinstance(before, Crl) else None)

    terms = Terms(read, freshness.fresh, freshness.longest, _end)
    name = pair[1].subject.rfc4514_string()
    return Source("crl", url, name, f"{url}#{_mark(pair[1])}", terms, Ask(accept="*/*"))


def _ocsp_source(pair: Pair, url: str, freshness: Freshness, clock: Clock) -> Source:
    def read(body: bytes, before: Document | None) -> Document:
        kept = before if isinstance(before, Answer) else None
        return read_answer(body, pair, (freshness, clock()), kept)

    # SHA-1 only names the issuer here; responders of RFC 5019 know nothing else
    request = ocsp.OCSPRequestBuilder().add_certificate(*pair, SHA1()).build()  # noqa: S303
    kind = "application/ocsp-request"
    ask = Ask("POST", request.public_bytes(Encoding.DER), "application/ocsp-response", kind)
    terms = Terms(read, freshness.fresh, freshness.longest, _end)
    name = pair[1].subject.rfc4514_string()
    return Source("ocsp", url, name, f"{url}#{_mark(pair[0])}", terms, ask)


def read_crl(body: bytes, pair: Pair, at: tuple[str, datetime], before: Crl | None) -> Crl:
    """The list in this document, which `pair[1]` signed for certificates as `pair[0]`.

    Raises LdnError(incomplete) for what must not replace the last good one: another issuer or
    signature, a part or a difference only, an end that has passed, older than what we have.
    """
    url, now = at
    try:
        listed = _loaded(body)
        with quiet():
            _require(listed.issuer == pair[1].subject, "issuer")
        _require(_may_sign(pair[1]), "key usage")
        _require(listed.is_signature_valid(pair[1].public_key()), "signature")  # type: ignore[arg-type]
        _require(_covers(listed, pair[0], url), "scope")
        number = listed.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        number = -1
    except _PARSING as error:
        raise _unfit("CRL", type(error).__name__) from error
    ends = listed.next_update_utc
    _require(listed.last_update_utc <= now + SLACK, "not yet valid")
    if ends is None or ends <= now:
        raise _unfit("CRL", "expired")
    last = before.last_good() if before is not None else None
    if last is not None:
        newer = number >= last.number and listed.last_update_utc >= last.begins
        _require(newer, "rolled back")
        if listed == last.listed:
            last.read = now
            return last  # the same list: what was examined stays so
    return Crl(listed, number, listed.last_update_utc, ends, now, last)


def read_answer(
    body: bytes, pair: Pair, at: tuple[Freshness, datetime], before: Answer | None
) -> Answer:
    """The answer in this document about `pair[0]`; raises LdnError(incomplete) as for a list."""
    freshness, now = at
    try:
        answer = ocsp.load_der_ocsp_response(body)
        if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise _unfit("OCSP", answer.response_status.name.lower())
        begins, stated = answer.this_update_utc, answer.next_update_utc
        revoked = revoked_by_ocsp(pair, body, now)
    except Unfit as error:
        raise _unfit("OCSP", str(error)) from error
    except _PARSING as error:
        raise _unfit("OCSP", type(error).__name__) from error
    ends = stated or begins + timedelta(seconds=freshness.longest)
    if ends <= now:
        raise _unfit("OCSP", "expired")
    if before is not None and begins < before.begins:
        raise _unfit("OCSP", "rolled back")
    return Answer(revoked, begins, ends)


def _loaded(body: bytes) -> x509.CertificateRevocationList:
    if body.lstrip()[:11] == b"-----BEGIN ":
        return x509.load_pem_x509_crl(body)
    return x509.load_der_x509_crl(body)


def _covers(listed: x509.CertificateRevocationList, below: x509.Certificate, url: str) -> bool:
    """Whether this is the whole list for such certificates: not a difference, not a part."""
    for extension in listed.extensions:
        if isinstance(extension.value, x509.IssuingDistributionPoint):
            if not _in_part(extension.value, below, url):
                return False
        elif extension.oid == x509.DeltaCRLIndicator.oid:
            return False
        elif extension.critical and extension.oid not in _KNOWN:
            return False
    return True


def _in_part(part: x509.IssuingDistributionPoint, below: x509.Certificate, url: str) -> bool:
    authority = _is_authority(below)
    names = {n.value for n in part.full_name or () if isinstance(n, x509.UniformResourceIdentifier)}
    return not (
        part.indirect_crl
        or part.only_some_reasons
        or part.only_contains_attribute_certs
        or (part.only_contains_user_certs and authority)
        or (part.only_contains_ca_certs and not authority)
        or (names and url not in names)
    )


def _may_sign(issuer: x509.Certificate) -> bool:
    try:
        return issuer.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _distribution(certificate: x509.Certificate) -> Iterator[str]:
    def points() -> Iterator[str]:
        kind = x509.CRLDistributionPoints
        for point in certificate.extensions.get_extension_for_class(kind).value:
            if not point.crl_issuer and not point.reasons:
                yield from _urls(point.full_name or ())

    yield from _those(points)


def _responders(certificate: x509.Certificate) -> Iterator[str]:
    def points() -> Iterator[str]:
        kind = x509.AuthorityInformationAccess
        for access in certificate.extensions.get_extension_for_class(kind).value:
            if access.access_method == AuthorityInformationAccessOID.OCSP:
                yield from _urls([access.access_location])

    yield from _those(points)


def _those(points: Callable[[], Iterator[str]]) -> Iterator[str]:
    try:
        yield from list(points())
    except (x509.ExtensionNotFound, *_PARSING):
        return


def _urls(names: "list[x509.GeneralName] | tuple[x509.GeneralName, ...]") -> Iterator[str]:
    for name in names:
        if isinstance(name, x509.UniformResourceIdentifier) and name.value.startswith("http"):
            yield name.value


def _end(document: Document) -> datetime:
    return document.ends


def _mark(certificate: x509.Certificate) -> str:
    return thumbprint(certificate.public_bytes(Encoding.DER))


def _require(fits: bool, why: str) -> None:
    if not fits:
        raise _unfit("CRL", why)


def _unfit(kind: str, why: str) -> LdnError:
    text = f"the {kind} answer of an authority cannot be used; its operator's turn"
    return LdnError(Issue.INCOMPLETE, text, detail=f"{kind}: {why}")
