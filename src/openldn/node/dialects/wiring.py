"""The dialects as a part of a node: what they add to its offers."""

from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from openldn.base.http import peer_certificate
from openldn.exchanges import by
from openldn.fhir.http import respond
from openldn.fhir.model import FhirVersion
from openldn.functions.audit.model import Audit
from openldn.functions.consent.sealing import Sealing
from openldn.node.coordination.admission import Admission
from openldn.node.coordination.model import ANSWER, EVENT
from openldn.node.coordination.opened import Offering
from openldn.node.coordination.register import Opens
from openldn.node.coordination.requests import OURS
from openldn.node.dialects import serving
from openldn.node.dialects.again import Again
from openldn.node.dialects.answering import Answering
from openldn.node.dialects.calls import Calls
from openldn.node.dialects.hearing import READ, Hearing
from openldn.node.dialects.losing import Losing
from openldn.node.dialects.opening import Opening
from openldn.node.dialects.reading import Reading
from openldn.node.dialects.settings import PeerSettings
from openldn.node.dialects.speech import Speech, checked
from openldn.node.dialects.stating import care_plan_statement
from openldn.node.dialects.store import Spoken, prepare
from openldn.node.dialects.telling import PLANS, Telling, Writing
from openldn.node.inbox.service import Inbox
from openldn.node.outbox.model import Kind
from openldn.node.roads import ROADS, Means
from openldn.node.settings import NodeSettings
from openldn.node.sources import Source
from openldn.patterns.exchange import Pattern
from openldn.patterns.notified_pull.shapes import Shape
from openldn.trust import keyfile
from openldn.trust.certificates import require_party

__all__ = ["opens_of", "prepare", "with_dialects"]

# What tokens are asked for here to read and change what was offered, whatever the dialect.
FETCH = tuple(
    sorted(
        {
            wire.fetch
            for exchange in by(Pattern.NOTIFIED_PULL)
            for case in exchange.use_cases
            for code, wire in case.wires.items()
            if code != OURS
        }
    )
)


def opens_of(offering: Offering, source: Source) -> Opens:
    """What the tokens of other parties open, with a base or without; `source` has STU3 data."""
    telling = offering.coordination.voices
    assert isinstance(telling, Telling)  # noqa: S101  (made so below)
    return Opening(offering.coordination.ledger, telling.spoken, offering.register, source)


def with_dialects(
    offering: Offering, settings: NodeSettings, inbox: Inbox, means: Means
) -> Offering:
    """The offers of this node, also for parties of other dialects.

    Raises LdnError: invalid for a peer that is not well set, exception for an unusable key.
    """
    ground, ledger = offering.ground, offering.coordination.ledger
    own = PeerSettings(agb=settings.agb, did=means.wallet.key.did)
    directory = offering.coordination.directory
    speech = Speech(ground.holder, directory, checked(settings.peers), own)
    spoken = Spoken(ground.holder, Sealing(keyfile.secret(ground.key, "the offers")))
    based = {road: means.direct(road) for road in ROADS}
    calls = Calls(ground.holder, settings.name, directory, means.roads(), based, ground.new_id)
    losing = Losing(ledger, spoken)
    reading = Reading(ledger, spoken, speech, calls, losing)
    kinds = offering.carrying.kinds()
    answering = Answering(ledger, spoken, reading, losing, kinds[ANSWER].deliver)
    writing = Writing(speech, ledger)
    plans = f"{settings.public}{PLANS}"
    telling = Telling(ledger, spoken, writing, calls, losing, kinds[EVENT].deliver, plans)
    hearing = Hearing(ground.pool, spoken, inbox, ledger, speech)
    coordination = replace(offering.coordination, voices=telling)

    async def metadata(request: Request) -> Response:
        """GET: what is found at our base of care plans; for every party that we believe."""
        require_party(peer_certificate(request.scope), ground.clock())
        return respond(request, care_plan_statement(plans, ground.clock()), FhirVersion.R4)

    def routes(admit: Admission, audit: Audit) -> list[BaseRoute]:
        told = Route(f"{PLANS}/metadata", metadata, methods=["GET"])
        return [told, *serving.routes(serving.Desk(coordination, telling, admit, audit, FETCH))]

    return replace(
        offering,
        coordination=coordination,
        register=replace(offering.register, wire=telling.wire),
        shapes=dict.fromkeys(Shape, hearing.take) | {Shape.S5: hearing.bundle},
        other_kinds={
            READ: Kind(reading.deliver),
            ANSWER: Kind(answering.deliver),
            EVENT: Kind(telling.deliver),
        },
        other_routes=routes,
        other_work=Again(hearing).run,
    )
