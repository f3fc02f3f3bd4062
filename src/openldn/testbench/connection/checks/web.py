"""C26-C27, C37-C39, C43-C45: the host on the network, and how it answers HTTP."""

import asyncio
import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC
from email.utils import parsedate_to_datetime

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.name
import dns.rdatatype
import dns.resolver

from openldn.base.errors import Issue, LdnError
from openldn.base.http import Reply
from openldn.testbench.connection import addresses
from openldn.testbench.connection.checks.oauth import metadata, refusal_of_token, token_endpoint
from openldn.testbench.connection.model import (
    Result,
    failed,
    judged,
    passed,
    skipped,
    warned,
)
from openldn.testbench.connection.prober import Seen
from openldn.testbench.connection.visit import Visit

HALF_A_YEAR = 15_768_000  # seconds
APART = 5.0  # seconds that clocks may differ
TRIES = 5
BUDGETS = {"connect": 0.5, "metadata": 1.0, "token": 1.0}  # seconds, p95
LARGE = 4 * 1024 * 1024  # bytes
_AGE = re.compile(r"max-age\s*=\s*\"?([0-9]{1,12})", re.IGNORECASE)
_TRACES = re.compile(
    rb"Traceback \(most recent call last\)|^\s+at [\w.$]+\([\w.]+:\d+\)|goroutine \d+ \["
    rb"|\.(?:java|py|go|rb|php|cs|js):\d+|System\.\w+Exception|node_modules/|SQLSTATE\[",
    re.MULTILINE,
)
_VERSIONED = re.compile(r"[0-9]+\.[0-9]+")
_TELLING = ("x-powered-by", "x-aspnet-version", "x-aspnetmvc-version", "x-generator")


async def plain(visit: Visit) -> Result:
    """C26."""
    port = visit.target.given.plain_port
    if port == visit.target.port:
        return skipped("https-only")
    host = f"[{visit.target.host}]" if ":" in visit.target.host else visit.target.host
    url = f"http://{host}:{port}/"
    try:
        reply = await visit.send(url)
    except LdnError as error:
        if error.issue is Issue.TIMEOUT or error.detail == "ClientConnectorError":
            return passed(f"port {port}: closed")
        if error.detail == "ClientConnectorDNSError":
            raise
        return warned(f"port {port}: open, but answers no HTTP ({error.detail})")
    aim = reply.headers.get("location", "")
    redirect = reply.status in {301, 302, 303, 307, 308} and aim.startswith("https://")
    return judged(redirect, f"port {port}: status {reply.status}{' to https' if redirect else ''}")


async def hsts(visit: Visit) -> Result:
    """C27."""
    reply = await _front(visit)
    if reply is None:
        return skipped("http")
    if "text/html" not in reply.headers.get("content-type", ""):
        return skipped("browser", f"content-type: {reply.headers.get('content-type', 'none')}")
    said = reply.headers.get("strict-transport-security", "")
    age = _AGE.search(said)
    good = age is not None and int(age.group(1)) >= HALF_A_YEAR
    return judged(good, f"strict-transport-security: {said[:100] or 'none'}")


async def _front(visit: Visit) -> Reply | None:
    """What stands at /; None when nothing comes."""
    try:
        return await visit.get(f"{visit.target.origin}/")
    except LdnError:
        return None


async def clock(visit: Visit) -> Result:
    """C39: the header has whole seconds, so one second of it means nothing."""
    try:
        reply = await visit.send(f"{visit.target.origin}/")
    except LdnError:
        return skipped("http")
    now = visit.clock()
    try:
        theirs = parsedate_to_datetime(reply.headers["date"]).astimezone(UTC)
    except (KeyError, ValueError, TypeError):
        return failed("no readable Date header")
    ahead = (theirs - now).total_seconds()
    away = ahead if ahead > 0 else max(0.0, -ahead - 1)
    return judged(away <= APART, f"Date: {reply.headers['date']}; differs {away:.0f} s")


async def names(visit: Visit) -> Result:
    """C37."""
    if addresses.literal(visit.target.host):
        return skipped("address")
    resolver = addresses.resolver_of(visit.target.given)
    if resolver is None:
        return skipped("resolver")
    try:
        signed = await _signed(resolver, visit.target.host)
        issuers = await _issuers(resolver, dns.name.from_text(visit.target.host))
    except (dns.resolver.NoNameservers, dns.exception.Timeout, OSError) as error:
        return skipped("resolver", type(error).__name__)
    except dns.exception.DNSException as error:
        return skipped("resolver", type(error).__name__)
    said = f"DNSSEC: {'yes' if signed else 'no'}; CAA: {', '.join(issuers) or 'none'}"
    return judged(signed and bool(issuers), said)


async def _signed(resolver: dns.asyncresolver.Resolver, host: str) -> bool:
    """Whether the answer is signed: the resolver verified it, or signatures came with it."""
    resolver.use_edns(0, dns.flags.DO, 1232)
    resolver.flags = dns.flags.RD | dns.flags.AD
    for kind in ("A", "AAAA"):
        answer = await resolver.resolve(host, kind, raise_on_no_answer=False)
        if answer.rrset is None:
            continue
        kinds = {r.rdtype for r in answer.response.answer}
        return bool(answer.response.flags & dns.flags.AD) or dns.rdatatype.RRSIG in kinds
    return False


async def _issuers(resolver: dns.asyncresolver.Resolver, name: dns.name.Name) -> list[str]:
    """Who may issue, from the nearest name that says so. Source: RFC 8659 §3."""
    while len(name.labels) > 1:
        try:
            answer = await resolver.resolve(name, "CAA", raise_on_no_answer=False)
        except dns.resolver.NXDOMAIN:
            name = name.parent()
            continue
        found = [r.value.decode("ascii", "replace") for r in answer.rrset or ()]
        if found:
            return found
        name = name.parent()
    return []


async def families(visit: Visit) -> Result:
    """C38."""
    if addresses.literal(visit.target.host):
        return skipped("address")
    found = await addresses.resolve(visit.target.host, visit.target.given)
    by = {"IPv6" if ":" in a else "IPv4": a for a in reversed(found)}
    if len(by) < 2:
        return failed(f"only {', '.join(by)}: {', '.join(found)}")
    seen = {kind: await visit.prober.ask(visit.offer(), address) for kind, address in by.items()}
    said = "; ".join(f"{kind}: {s}" for kind, s in sorted(seen.items()))
    return judged(_alike(list(seen.values())), said)


def _alike(seen: list[Seen]) -> bool:
    return len({str(s) for s in seen}) == 1


async def speed(visit: Visit) -> Result:
    """C43: a few tries, one after the other, when nothing else is asked."""
    asks: dict[str, Callable[[], Awaitable[object]]] = {
        "connect": lambda: visit.prober.ask(visit.offer())
    }
    if await metadata(visit):
        place = next(iter(await metadata(visit)))
        asks["metadata"] = lambda: visit.send(place)
    if endpoint := await token_endpoint(visit):
        asks["token"] = lambda: refusal_of_token(visit, endpoint)
    found = {name: await _percentile(visit, ask, BUDGETS[name]) for name, ask in asks.items()}
    good = all(found[name] <= BUDGETS[name] for name in found)
    said = (f"{n} {1000 * s:.0f} ms (≤ {1000 * BUDGETS[n]:.0f})" for n, s in found.items())
    return judged(good, f"p95 of {TRIES}: {', '.join(said)}")


async def _percentile(visit: Visit, ask: Callable[[], Awaitable[object]], budget: float) -> float:
    """The 95th percentile in seconds by nearest rank: of so few, the slowest."""
    loop, slowest = asyncio.get_running_loop(), 0.0
    for _ in range(TRIES):
        await asyncio.sleep(visit.prober.pace.apart)  # so that we do not measure our own pace
        began = loop.time()
        try:
            await ask()
        except LdnError as error:
            if error.issue is not Issue.TIMEOUT:
                raise
        slowest = max(slowest, loop.time() - began)
        if slowest > budget:
            break
    return slowest


async def leaks(visit: Visit) -> Result:
    """C44: what we send in a body or a header must not come back."""
    canary = f"openldn{secrets.token_hex(8)}"
    url = await token_endpoint(visit) or visit.target.given.fhir or f"{visit.target.origin}/"
    headers = {"content-type": "application/json", "x-check": canary}
    asks = (
        (f"{visit.target.origin}/.openldn-check", "GET", None),
        (url, "POST", f'{{"check": "<{canary}>'.encode()),
    )
    found: list[str] = []
    seen = 0
    for place, method, body in asks:
        try:
            reply = await visit.send(place, method, headers=headers, body=body)
        except LdnError:
            continue
        seen += 1
        found += _leaks(reply, canary)
    if not seen:
        return skipped("http")
    return judged(not found, ", ".join(dict.fromkeys(found)) or f"{seen} answers, nothing found")


def _leaks(reply: Reply, canary: str) -> list[str]:
    headers = reply.headers
    found = [f"{name}: {headers[name][:40]}" for name in _TELLING if name in headers]
    if _VERSIONED.search(headers.get("server", "")):
        found.append(f"server: {headers['server'][:40]}")
    if _TRACES.search(reply.body):
        found.append("a stack trace")
    if canary.encode() in reply.body or any(canary in v for v in headers.values()):
        found.append("what was sent comes back")
    return found


async def large(visit: Visit) -> Result:
    """C45."""
    url = await token_endpoint(visit) or visit.target.given.fhir or f"{visit.target.origin}/"
    said = f"POST of {LARGE // 1024 // 1024} MiB"
    try:
        status = await visit.pour(url, LARGE)
    except TimeoutError:
        return failed(f"{said}: no answer")
    if status is None:
        return passed(f"{said}: the server closes the connection")
    return judged(400 <= status < 500, f"{said}: status {status}")


LOOKS = {
    "C26": plain,
    "C27": hsts,
    "C37": names,
    "C38": families,
    "C39": clock,
    "C43": speed,
    "C44": leaks,
    "C45": large,
}
