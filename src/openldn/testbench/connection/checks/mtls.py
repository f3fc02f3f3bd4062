"""C12-C16: whom the server asks for a certificate, and whom it then refuses."""

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from openldn.base.errors import Issue, LdnError
from openldn.testbench.connection.model import Result, failed, judged, skipped, warned
from openldn.testbench.connection.visit import EXPIRED, NOBODY, OURS, REVOKED, STRANGER, Visit
from openldn.trust.certificates import Anchors

PRIVATE_SERVICES = "Staat der Nederlanden Private Services CA - G1"
_NO_CONNECTION = {"ClientConnectorError", "ClientConnectorDNSError"}
_DENIED = {401, 403}


async def requested(visit: Visit) -> Result:
    """C12."""
    flight = await visit.flight()
    if flight is None:
        return skipped("tls")
    return judged(flight.requested, f"CertificateRequest: {'yes' if flight.requested else 'no'}")


async def _refused(visit: Visit, who: str) -> tuple[bool, str]:
    """Whether a request with this certificate gets nothing, and what was seen.

    Raises LdnError when our own certificate gets no answer either: that proves nothing.
    """
    given = visit.target.given
    url = f"{given.fhir}/Patient?_count=1" if given.fhir else f"{visit.target.origin}/"
    if visit.has(OURS):
        await visit.get(url)
    try:
        reply = await visit.get(url, who=who)
    except LdnError as error:
        if error.detail in _NO_CONNECTION or error.issue is not Issue.INCOMPLETE:
            raise
        return True, f"{who}: refused ({error.detail})"
    return reply.status in _DENIED, f"{who}: status {reply.status}"


async def without(visit: Visit) -> Result:
    """C13."""
    if await visit.flight() is None:
        return skipped("tls")
    return judged(*await _refused(visit, NOBODY))


async def strange(visit: Visit) -> Result:
    """C14."""
    flight = await visit.flight()
    if flight is None or not flight.requested:
        return skipped("no-mtls" if flight else "tls")
    return judged(*await _refused(visit, STRANGER))


async def ended(visit: Visit) -> Result:
    """C15."""
    flight = await visit.flight()
    if flight is None or not flight.requested:
        return skipped("no-mtls" if flight else "tls")
    those = [who for who in (EXPIRED, REVOKED) if visit.has(who)]
    if not those:
        return skipped("expired")
    outcomes = [await _refused(visit, who) for who in those]
    return judged(all(good for good, _ in outcomes), "; ".join(said for _, said in outcomes))


async def authorities(visit: Visit) -> Result:
    """C16: an empty list stands for any authority (RFC 5246 §7.4.4), so it is no fault."""
    flight = await visit.flight()
    if flight is None or not flight.requested:
        return skipped("no-mtls" if flight else "tls")
    try:
        names = [_subject(n) for n in flight.authorities]
    except (ValueError, UnsupportedAlgorithm):
        return failed("the list of authorities cannot be read")
    if not names:
        return warned("the list is empty: any authority")
    return judged(any(_expected(visit, n) for n in names), "; ".join(names))


def _expected(visit: Visit, name: str) -> bool:
    ca = visit.target.given.ca
    subjects = {c.subject.rfc4514_string() for c in Anchors.load(ca).certificates} if ca else set()
    return name in subjects or f"CN={PRIVATE_SERVICES}" in name.replace("\u2013", "-")


def _subject(der: bytes) -> str:
    return x509.Name.from_bytes(der).rfc4514_string()


LOOKS = {"C12": requested, "C13": without, "C14": strange, "C15": ended, "C16": authorities}
