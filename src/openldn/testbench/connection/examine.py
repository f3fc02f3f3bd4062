"""Makes every check of one endpoint, side by side, within its time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, instant
from openldn.testbench.connection import addresses
from openldn.testbench.connection.checks import CHECKS
from openldn.testbench.connection.hello import NotTlsError
from openldn.testbench.connection.model import Check, Checked, Report, Result, Words, skipped
from openldn.testbench.connection.prober import Prober
from openldn.testbench.connection.target import Target
from openldn.testbench.connection.visit import Visit, classified

PATIENCE = 3.8  # seconds that one check may take in all
WHOLE = 5.0  # seconds that all checks may take
_LONGEST = 1000  # characters of evidence
# What the library raises, some of it only when asked, for a certificate, list or answer that is
# not as it should be: it must not end the whole check.
_UNREADABLE = (
    *(ValueError, TypeError, OverflowError, UnsupportedAlgorithm, InvalidSignature),
    *(x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType),
)
ALONE = {"C43"}  # measured when nothing else is asked
RENEGOTIATION = Words(
    "met deze partij is één heronderhandeling van TLS 1.2 afgesproken (C24)",
    "one renegotiation of TLS 1.2 is agreed with this peer (C24)",
)


@asynccontextmanager
async def visiting(target: Target, clock: Clock) -> AsyncIterator[Visit]:
    """The endpoint, ready to be checked.

    Raises LdnError that says what is wrong: the host is not known or not one we may call, the
    port is closed, silent, or speaks something else than TLS.
    """
    await addresses.require(target.origin, target.given)
    address = (await addresses.resolve(target.host, target.given))[0]
    name = "" if addresses.literal(target.host) else target.host.encode("idna").decode()
    visit = Visit(target, Prober(address, target.port, name), clock)
    try:
        if problem := classified(await visit.ask("1.3")):
            raise problem
        yield visit
    finally:
        await visit.close()


async def examine(visit: Visit, only: Collection[str] = ()) -> AsyncIterator[Checked]:
    """Each check as it comes out, not in order; `only` these ids when some are given."""
    chosen, clock = chosen_checks(only), asyncio.get_running_loop().time
    ends = clock() + WHOLE
    tasks = [asyncio.create_task(_made(c, visit, PATIENCE)) for c in chosen if c.id not in ALONE]
    try:
        for next_done in asyncio.as_completed(tasks):
            yield await next_done
    finally:
        for task in tasks:
            task.cancel()
    for check in chosen:
        if check.id in ALONE:
            yield await _made(check, visit, max(1.0, ends - clock()))


def chosen_checks(only: Collection[str]) -> list[Check]:
    """The checks with these ids, or all; raises LdnError(invalid) for one that does not exist."""
    known = {c.id for c in CHECKS}
    if unknown := sorted(set(only) - known):
        text = f"no check {', '.join(unknown)}; they are {CHECKS[0].id} to {CHECKS[-1].id}"
        raise LdnError(Issue.INVALID, text)
    return [c for c in CHECKS if not only or c.id in only]


async def _made(check: Check, visit: Visit, patience: float) -> Checked:
    result = _readable(await _looked(check, visit, patience))
    return Checked(check, check.weighed(result, visit.target.profile))


def _readable(result: Result) -> Result:
    """What an endpoint says may not steer a terminal, nor fill a screen."""
    text = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in result.evidence)
    return replace(result, evidence=text[:_LONGEST])


async def _looked(check: Check, visit: Visit, patience: float) -> Result:
    """The result; what kept us from looking makes it a skip that says so."""
    try:
        async with asyncio.timeout(patience):
            return await check.look(visit)
    except TimeoutError:
        return skipped("late")
    except LdnError as error:
        return skipped("broken", error.message)
    except (NotTlsError, OSError) as error:
        return skipped("broken", str(error))
    except _UNREADABLE as error:
        return skipped("broken", f"what it shows cannot be read ({type(error).__name__})")


async def report(
    target: Target,
    clock: Clock,
    only: Collection[str] = (),
    progress: Callable[[Checked], None] = lambda _: None,
) -> Report:
    """Every check of one endpoint, in the order of their ids; raises LdnError as `visiting`."""
    chosen_checks(only)
    started = clock()
    async with visiting(target, clock) as visit:
        rows = []
        async for row in examine(visit, only):
            progress(row)
            rows.append(row)
        made = visit.prober.pace.made
    rows.sort(key=lambda row: row.check.id)
    agreed = (RENEGOTIATION,) if target.given.renegotiation else ()
    seconds = (clock() - started).total_seconds()
    return Report(target, instant(started), seconds, made, tuple(rows), agreed)
