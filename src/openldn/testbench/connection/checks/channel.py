"""C01-C09, C23-C25: versions, suites, groups and options of the channel."""

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.testbench.connection.handshake import Flight, RefusedError, older
from openldn.testbench.connection.hello import RENEGOTIATION, NotTlsError
from openldn.testbench.connection.model import Result, failed, judged, passed, skipped, warned
from openldn.testbench.connection.numbers import (
    BROKEN,
    GROUPS,
    LEGACY,
    LEGACY_SIGNATURES,
    SSL3,
    STATIC_RSA,
    SUITES_1_2,
    SUITES_1_3,
    TLS10,
    TLS11,
    TLS12,
    VERSIONS,
    WEAK_GROUPS,
    suite_name,
)
from openldn.testbench.connection.prober import Kind, Seen
from openldn.testbench.connection.visit import Visit

ONLY_NEW = "TLS 1.2 refused; TLS 1.3 has none of this"


async def all_of(asks: Mapping[str, Coroutine[Any, Any, Seen]]) -> dict[str, Seen]:
    """The answers by name, asked side by side."""
    async with asyncio.TaskGroup() as group:
        tasks = {name: group.create_task(ask) for name, ask in asks.items()}
    return {name: sure(task.result()) for name, task in tasks.items()}


def sure(seen: Seen) -> Seen:
    """The same answer; raises LdnError(incomplete) when there was no connection to answer on."""
    if seen.kind is Kind.LOST:
        raise LdnError(Issue.INCOMPLETE, seen.note, detail="lost")
    return seen


def listed(seen: Mapping[str, Seen]) -> str:
    """What was accepted and what was not, with the answers to what was not."""
    yes = [name for name, answer in seen.items() if answer.agreed]
    no: dict[str, list[str]] = {}
    for name, answer in seen.items():
        if not answer.agreed:
            no.setdefault(str(answer), []).append(name)
    told = "; ".join(f"{', '.join(names)} ({answer})" for answer, names in no.items())
    return f"accepted: {', '.join(yes) or 'none'}; refused: {told or 'none'}"


async def newest_version(visit: Visit) -> Result:
    """C01."""
    seen = sure(await visit.ask("1.3"))
    return judged(seen.agreed, f"TLS 1.3 → {seen}")


async def old_versions(visit: Visit) -> Result:
    """C02."""
    asks = {
        VERSIONS[v]: visit.ask(
            f"version {v}", version=v, suites=LEGACY, signatures=LEGACY_SIGNATURES
        )
        for v in (SSL3, TLS10, TLS11)
    }
    seen = await all_of(asks)
    return judged(not any(s.agreed for s in seen.values()), listed(seen))


async def extra_version(visit: Visit) -> Result:
    """C03."""
    seen = sure(await visit.old_version())
    taken = seen.hello is not None and seen.hello.version == TLS12
    return judged(not taken, f"TLS 1.2 → {seen}")


async def _suite(visit: Visit, name: str) -> Result:
    seen = sure(await visit.ask(name, suites=(SUITES_1_3[name],)))
    return judged(seen.agreed, f"{name} → {seen}")


async def aes_256(visit: Visit) -> Result:
    """C04."""
    return await _suite(visit, "TLS_AES_256_GCM_SHA384")


async def chacha20(visit: Visit) -> Result:
    """C05."""
    return await _suite(visit, "TLS_CHACHA20_POLY1305_SHA256")


async def aes_128(visit: Visit) -> Result:
    """C06."""
    return await _suite(visit, "TLS_AES_128_GCM_SHA256")


async def broken_suites(visit: Visit) -> Result:
    """C07."""
    asks = {
        kind: visit.ask(kind, version=TLS12, suites=suites, signatures=LEGACY_SIGNATURES)
        for kind, suites in BROKEN.items()
    }
    seen = await all_of(asks)
    return judged(not any(s.agreed for s in seen.values()), listed(seen))


async def groups(visit: Visit) -> Result:
    """C08."""
    allowed = {g: visit.ask(g, groups=(GROUPS[g],)) for g in visit.target.profile.groups}
    seen = await all_of(allowed)
    if not any(s.agreed for s in seen.values()):
        older = {
            g: visit.ask(f"1.2 {g}", version=TLS12, groups=(GROUPS[g],), suites=_suites())
            for g in visit.target.profile.groups
        }
        seen = await all_of(older)
    weak = {g: visit.ask(g, version=TLS12, groups=(n,), suites=_suites()) for g, n in _weak()}
    weak["RSA key exchange"] = visit.ask("rsa", version=TLS12, suites=tuple(STATIC_RSA.values()))
    bad = {g: s for g, s in (await all_of(weak)).items() if s.agreed}
    evidence = listed(seen | bad)
    if set(bad) == {"RSA key exchange"}:
        return warned(evidence)
    return judged(any(s.agreed for s in seen.values()) and not bad, evidence)


def _suites() -> tuple[int, ...]:
    return tuple(SUITES_1_2.values())


def _weak() -> list[tuple[str, int]]:
    return list(WEAK_GROUPS.items())


async def hybrid_groups(visit: Visit) -> Result:
    """C09: no share is computed, so this needs no OpenSSL with ML-KEM on our side."""
    names = visit.target.profile.hybrid_groups
    seen = await all_of({g: visit.ask(g, groups=(GROUPS[g],)) for g in names})
    return judged(any(s.agreed for s in seen.values()), listed(seen))


async def early_data(visit: Visit) -> Result:
    """C23."""
    seen = sure(await visit.ask("1.3"))
    if not seen.agreed:
        return passed("TLS 1.3 refused; older versions have no early data")
    flight = await visit.finished()
    if flight is None:
        return skipped("broken", f"TLS 1.3 → {seen}; the handshake does not come to its end")
    if flight.early:
        return failed(f"a ticket allows {flight.early} bytes of early data")
    if flight.refusal and visit.shown is None:
        return skipped("client", f"{flight.tickets} tickets; {flight.refusal}")
    return passed(f"{flight.tickets} tickets, none for early data")


async def renegotiation(visit: Visit) -> Result:
    """C24."""
    seen = sure(await visit.old_version())
    if not seen.agreed or seen.hello is None:
        return passed(ONLY_NEW)
    if RENEGOTIATION not in seen.hello.extensions:
        return failed("ServerHello without renegotiation_info (RFC 5746)")
    flight = await visit.older()
    if flight is None:
        return skipped("broken", "renegotiation_info: yes; no handshake with AEAD suites")
    if flight.requested and visit.shown is None:
        return skipped("client", "renegotiation_info: yes")
    again = await _again(visit)
    if isinstance(again, str):
        return skipped("broken", f"renegotiation_info: yes; {again}")
    if again.renegotiated and visit.target.given.renegotiation:
        return passed("renegotiation_info: yes; one renegotiation taken, as agreed with this peer")
    taken = "taken" if again.renegotiated else "refused"
    return judged(not again.renegotiated, f"renegotiation_info: yes; client-initiated: {taken}")


async def _again(visit: Visit) -> Flight | str:
    try:
        return await older(visit.prober, visit.shown, again=True)
    except (RefusedError, NotTlsError, LdnError, TimeoutError) as error:
        return str(error) or "no answer in time"


async def compression(visit: Visit) -> Result:
    """C25."""
    ask = visit.ask(
        "compression",
        version=TLS12,
        suites=(*_suites(), *LEGACY),
        signatures=LEGACY_SIGNATURES,
        compression=b"\x01\0",
    )
    seen = sure(await ask)
    if seen.kind is not Kind.HELLO or seen.hello is None:
        return passed(f"{ONLY_NEW} ({seen})")
    chosen = seen.hello.compression
    name = "none" if chosen == 0 else f"method {chosen}"
    return judged(chosen == 0, f"DEFLATE offered with {suite_name(seen.hello.suite)} → {name}")


LOOKS = {
    "C01": newest_version,
    "C02": old_versions,
    "C03": extra_version,
    "C04": aes_256,
    "C05": chacha20,
    "C06": aes_128,
    "C07": broken_suites,
    "C08": groups,
    "C09": hybrid_groups,
    "C23": early_data,
    "C24": renegotiation,
    "C25": compression,
}
