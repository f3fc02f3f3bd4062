"""Who takes part in the network, on which road, with which exchanges: as the directory tells."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.exchanges import EXCHANGES
from openldn.functions.addressing.model import Directory, Endpoint, Organization
from openldn.patterns.exchange import Exchange, Pattern
from openldn.trust.peers import INFRASTRUCTURES

MOST = 300  # organizations told of


@dataclass(frozen=True)
class Offer:
    """One exchange that an organization answers."""

    exchange: str
    patterns: tuple[str, ...]
    infrastructure: str
    fhir: str
    agreement: str  # name of the peer profile of its road


async def network_of(directory: Directory) -> dict[str, Any]:
    """Every care provider and what it offers, as JSON; the first 300 by name.

    Raises LdnError when the directory cannot be asked.
    """
    every = await directory.organizations()
    listed = [await _member(directory, one) for one in every[:MOST]]
    exchanges = [
        {
            "code": e.code,
            "title": {"nl": e.title.nl, "en": e.title.en},
            "patterns": _patterns(e),
            "purposes": sorted(e.purposes),
        }
        for e in EXCHANGES.values()
    ]
    return {"organizations": listed, "total": len(every), "exchanges": exchanges}


async def _member(directory: Directory, one: Organization) -> dict[str, Any]:
    offers = await _offers(directory, one) if one.active else []
    member = {"ura": str(one.ura), "name": one.name, "type": one.type, "active": one.active}
    return {**member, "offers": [asdict(o) for o in offers]}


async def _offers(directory: Directory, one: Organization) -> list[Offer]:
    found = []
    for exchange in EXCHANGES.values():
        if endpoint := await _address(directory, one, exchange.payload):
            asked = [p for p in _patterns(exchange) if p != Pattern.PUSH]
            found.append(_offer(exchange, asked, endpoint))
        for case in (c for c in exchange.use_cases if c.push is not None):
            if endpoint := await _address(directory, one, exchange.receives(case)):
                found.append(_offer(exchange, [Pattern.PUSH], endpoint))
                break  # one line for what it takes of this exchange
    return found


async def _address(directory: Directory, one: Organization, payload: str) -> Endpoint | None:
    try:
        return await directory.endpoint(one.ura, payload)
    except LdnError as error:
        if error.issue is not Issue.NOT_FOUND:
            raise
        return None


def _offer(exchange: Exchange, patterns: Sequence[str], endpoint: Endpoint) -> Offer:
    road = endpoint.infrastructure
    agreement = INFRASTRUCTURES.get(road, "")
    return Offer(exchange.code, tuple(patterns), road, str(endpoint.fhir), agreement)


def _patterns(exchange: Exchange) -> list[str]:
    return list(dict.fromkeys(str(case.pattern) for case in exchange.use_cases))
