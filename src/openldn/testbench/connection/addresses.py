"""Which addresses may be called: those the operator answers for, and none by a server's word."""

import asyncio
import ipaddress
import socket
from urllib.parse import urlsplit

import dns.asyncresolver
import dns.exception
import dns.resolver

from openldn.base.errors import Issue, LdnError
from openldn.testbench.connection.target import Given

PATIENCE = 2.0  # seconds for a name server


def literal(host: str) -> bool:
    """Whether a host is written as an IP address."""
    try:
        ipaddress.ip_address(host.split("%")[0])
    except ValueError:
        return False
    return True


def resolver_of(given: Given) -> dns.asyncresolver.Resolver | None:
    """The name server to ask: the one given, else the machine's; None when there is none."""
    try:
        if not given.resolver:
            found = dns.asyncresolver.Resolver()
        else:
            found = dns.asyncresolver.Resolver(configure=False)
            host, port = _split(given.resolver)
            found.nameservers, found.port = [host], port
    except (dns.resolver.NoResolverConfiguration, ValueError):
        return None
    found.lifetime = found.timeout = PATIENCE
    return found


def _split(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if text.count(":") == 1 else (text, "", "53")
    return host, int(port)


async def resolve(host: str, given: Given) -> tuple[str, ...]:
    """The addresses of a host; raises LdnError(not-found) when it has none."""
    if literal(host):
        return (host,)
    try:
        async with asyncio.timeout(PATIENCE * 2):
            found = await _asked(host, given)
    except (OSError, TimeoutError, UnicodeError, dns.exception.DNSException) as error:
        text = f"the host {host} is not known; check the name and the name server"
        raise LdnError(Issue.NOT_FOUND, text, detail=type(error).__name__) from error
    if not found:
        raise LdnError(Issue.NOT_FOUND, f"the host {host} has no address; check the name")
    return found


async def _asked(host: str, given: Given) -> tuple[str, ...]:
    resolver = resolver_of(given) if given.resolver else None
    if resolver is not None:
        answers = await resolver.resolve_name(host)
        return tuple(dict.fromkeys(answers.addresses()))
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(info[4][0]) for info in infos))


def public(address: str) -> bool:
    """Whether an address is on the internet, not of a machine or a network of its own."""
    return ipaddress.ip_address(address.split("%")[0]).is_global


async def require(url: str, given: Given) -> None:
    """Raise LdnError(forbidden) for an address we do not call.

    Certificates and metadata name addresses too: they must not lead us into a private network.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise LdnError(Issue.INVALID, "this is not an address") from error
    if parts.scheme not in {"http", "https"} or not host or "@" in parts.netloc:
        raise LdnError(Issue.FORBIDDEN, "only http and https addresses are called")
    if given.private:
        return
    if not all(map(public, await resolve(host, given))):
        text = f"{host} is not on the internet; a private test host needs --private"
        raise LdnError(Issue.FORBIDDEN, text, detail="address")
