"""Which state table an offer follows, by its use case."""

from dataclasses import replace

from openldn.base.errors import Issue, LdnError
from openldn.exchanges import EXCHANGES
from openldn.fhir.model import Resource
from openldn.patterns.exchange import Exchange, Pattern, UseCase
from openldn.patterns.moves import Table
from openldn.patterns.notified_pull.model import Offer
from openldn.patterns.notified_pull.states import CANDIDATES, FULFILLER_STARTS, TABLES
from openldn.patterns.notified_pull.task import offer_of


def offered(exchange: str, use_case: str) -> tuple[Exchange, UseCase]:
    """The exchange and its use case by notified pull; raises LdnError(not-found) otherwise."""
    found = EXCHANGES.get(exchange)
    if found is None:
        text = f"no such exchange; choose from {', '.join(EXCHANGES)}"
        raise LdnError(Issue.NOT_FOUND, text)
    known = {c.name: c for c in found.use_cases if c.pattern is Pattern.NOTIFIED_PULL}
    if use_case not in known and not (use_case == "" and len(known) == 1):
        text = f"{exchange} cannot be offered for that; choose from {', '.join(known) or 'nothing'}"
        raise LdnError(Issue.NOT_FOUND, text)
    return found, known.get(use_case) or next(iter(known.values()))


def table_of(case: UseCase, *, several: bool = False) -> Table:
    """The table of this use case, for one receiver or for candidates."""
    return CANDIDATES if several else TABLES[case.table]


def read_offer(task: Resource) -> Offer:
    """The offer in a checked Task of another placer, with its table: referrals if unknown.

    Raises LdnError(business-rule) for what cannot be an offer at all.
    """
    read = offer_of(task)
    if read.table == CANDIDATES.name:
        return read
    try:
        table = table_of(offered(read.exchange, read.use_case)[1]).name
    except LdnError:
        table = FULFILLER_STARTS.name
    return replace(read, table=table)
