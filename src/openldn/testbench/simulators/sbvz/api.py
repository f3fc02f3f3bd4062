"""The simulated register on HTTP: the SOAP of SBV-Z, and the same as JSON."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.base.runtime import Clock, NewId
from openldn.fhir.http import application, read_body, read_json, respond_json
from openldn.fhir.identifiers import Bsn, ReadBsn
from openldn.functions.identification import plain, sbvz
from openldn.functions.identification.model import Answer, Document, Person, Persons
from openldn.trust.certificates import require_party

PATH = "/cibg.sbv.interface.xis.webservice.mrt21/opvragenverifieren.asmx"
_LARGEST = 64 * 1024  # bytes of a question
_FAULT = (
    f'<soap:Envelope xmlns:soap="{sbvz.SOAP}"><soap:Body><soap:Fault>'
    "<faultcode>soap:Client</faultcode><faultstring>Onleesbaar bericht</faultstring>"
    "</soap:Fault></soap:Body></soap:Envelope>"
)


def app(register: Persons, clock: Clock, new_id: NewId, read_bsn: ReadBsn = Bsn.parse) -> Any:
    """The whole simulator as an ASGI application; each question needs a UZI certificate."""

    async def answered(person: Person, bsn: Bsn | None) -> Answer:
        return await (register.verify(bsn, person) if bsn else register.find(person))

    async def soap(request: Request) -> Response:
        """POST: OpvragenVerifieren."""
        require_party(peer_certificate(request.scope), clock())
        try:
            asked = sbvz.read_question(await read_body(request, _LARGEST), read_bsn)
            found = await answered(asked.person, asked.bsn)
        except LdnError:
            return Response(_FAULT, 500, media_type=sbvz.MEDIA_TYPE)
        return Response(sbvz.answer(found, asked.reference), media_type=sbvz.MEDIA_TYPE)

    async def ask(request: Request) -> Response:
        """POST find or verify."""
        require_party(peer_certificate(request.scope), clock())
        told = await read_json(request, _LARGEST)
        person, bsn = plain.read_question(told, read_bsn)
        return respond_json(plain.answer(await answered(person, bsn)))

    async def document(request: Request) -> Response:
        """POST document: whether it may be in circulation."""
        require_party(peer_certificate(request.scope), clock())
        told = await read_json(request, _LARGEST)
        kind = next((k for k in Document if k.value == told.get("kind")), None)
        if kind is None:
            raise LdnError(Issue.INVALID, "no such kind of document")
        bsn = read_bsn(str(told.get("bsn", "")))
        found = await register.in_circulation(bsn, kind, str(told.get("number", "")))
        return respond_json({"in_circulation": found})

    routes = [
        Route(PATH, soap, methods=["POST"]),
        Route("/persons/find", ask, methods=["POST"]),
        Route("/persons/verify", ask, methods=["POST"]),
        Route("/persons/document", document, methods=["POST"]),
    ]
    return application(routes, role="sim-sbvz", new_id=new_id)
