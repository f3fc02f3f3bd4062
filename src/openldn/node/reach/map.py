"""Who takes part in the network, on which road, with which exchanges: as the directory tells."""

from dataclasses import asdict, dataclass
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.exchanges import EXCHANGES
from openldn.functions.addressing.model import Directory, Endpoint, Organization
from openldn.patterns.exchange import Exchange
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
        try:
            endpoint = await directory.endpoint(one.ura, exchange.payload)
        except LdnError as error:
            if error.issue is not Issue.NOT_FOUND:
                raise
            continue
        found.append(_offer(exchange, endpoint))
    return found


def _offer(exchange: Exchange, endpoint: Endpoint) -> Offer:
    road = endpoint.infrastructure
    agreement = INFRASTRUCTURES.get(road, "")
    return Offer(exchange.code, tuple(_patterns(exchange)), road, str(endpoint.fhir), agreement)


def _patterns(exchange: Exchange) -> list[str]:
    return list(dict.fromkeys(str(case.pattern) for case in exchange.use_cases))
