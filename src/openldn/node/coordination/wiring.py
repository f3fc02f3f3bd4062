"""Offers as a part of a node: what of the node they use."""

from dataclasses import replace

from starlette.routing import BaseRoute

from openldn.exchanges import by
from openldn.fhir.model import FhirVersion
from openldn.functions.addressing.model import Directory
from openldn.node.ask import Asker
from openldn.node.coordination.admission import Admission
from openldn.node.coordination.model import TASKS, TELLING
from openldn.node.coordination.opened import Ground, Offering, offering, prepare
from openldn.node.coordination.own import Guard
from openldn.node.coordination.peers import Peers
from openldn.node.coordination.pulling import Pulling
from openldn.node.coordination.requests import OURS
from openldn.node.coordination.service import Terms
from openldn.node.evidence import Log
from openldn.node.outbox.service import Outbox
from openldn.node.roads import ROADS, Means
from openldn.node.serve import Holder
from openldn.node.settings import NodeSettings
from openldn.patterns.exchange import Pattern
from openldn.patterns.pull import Pull

__all__ = ["SCOPES", "Offering", "offers_of", "own_routes_of", "prepare", "routes_of"]

# What tokens are asked for here because of offers: to notify, to change Tasks, to read data.
SCOPES = frozenset({*TELLING, TASKS}) | {
    wire.fetch
    for exchange in by(Pattern.NOTIFIED_PULL)
    for case in exchange.use_cases
    if (wire := case.wires.get(OURS)) is not None
}


def offers_of(
    settings: NodeSettings, outbox: Outbox, log: Log, directory: Directory, means: Means
) -> Offering:
    """The offers of this node; raises LdnError(exception) for a key that cannot be used."""
    holder, road = settings.holder, means.direct()
    key = settings.signing_key.with_name("offers.key")
    ground = Ground(outbox.pool, holder, key, outbox, log, outbox.clock, outbox.new_id)
    parties = (road.tokens, road.forget, road.clients)
    peers = Peers(holder, settings.name, directory, *parties, outbox.new_id)
    return offering(ground, peers, directory, settings.fhir(FhirVersion.R4), Terms())


def routes_of(offering: Offering, holder: Holder) -> list[BaseRoute]:
    """What other parties find; the same door as where data are asked."""
    heard = offering.ground.outbox.heard
    admit = Admission(holder.ura, holder.public, holder.verify, holder.known, holder.clock, heard)
    return offering.routes(admit, holder.audit)


def own_routes_of(
    offering: Offering, asker: Asker, pull: Pull, means: Means, own: Guard
) -> list[BaseRoute]:
    """For our own applications; they fetch over roads that carry an authorization base, and where
    an offer came without one over those of each pull.
    """
    roads = {road: means.direct(road) for road in ROADS}
    plain = replace(pull, statements=None)
    pulling = Pulling(asker, replace(plain, infrastructures=roads), plain)
    return offering.own_routes(pulling, own)
