"""The register of people over the wire: one class per wire profile, both implement `Persons`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import NewId
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import Bsn, ReadBsn
from openldn.functions.identification import plain, sbvz
from openldn.functions.identification.model import (
    Answer,
    Document,
    Person,
    Persons,
    document_number,
    require_askable,
)
from openldn.functions.identification.sbvz import Question


@dataclass
class SbvzPersons:
    """SBV-Z itself: SOAP over mutual TLS with the UZI server certificate."""

    http: HttpClient
    url: str  # "https://webservice.sbv-z.nl/…/opvragenverifieren.asmx"
    new_id: NewId
    read_bsn: ReadBsn = Bsn.parse
    deadline: float = 10.0  # seconds for one question

    async def find(self, person: Person) -> Answer:
        """The BSN of the one person that fits; raises as `Persons.find`."""
        return await self._ask(person, None)

    async def verify(self, bsn: Bsn, person: Person) -> Answer:
        """Whether this number is of this person; raises as `Persons.verify`."""
        found = await self._ask(person, bsn)
        return _of(bsn, found)

    async def in_circulation(self, bsn: Bsn, kind: Document, number: str) -> bool:
        """Not over this wire: raises LdnError(not-supported)."""
        document_number(number)
        text = "the form of this question at SBV-Z is not public; check the document on its website"
        raise LdnError(Issue.NOT_SUPPORTED, text, detail="sbvz.document")

    async def _ask(self, person: Person, bsn: Bsn | None) -> Answer:
        require_askable(person)
        reference = self.new_id()
        body = sbvz.question(Question(person, bsn, reference))
        headers = {"content-type": sbvz.MEDIA_TYPE, "soapaction": f'"{sbvz.ACTION}"'}
        reply = await self.http.send(
            "POST", self.url, headers=headers, body=body, deadline=self.deadline
        )
        _require_answered(reply)
        return sbvz.read_answer(reply.body, reference, self.read_bsn)


@dataclass
class PlainPersons:
    """A service of the organization itself that asks SBV-Z: JSON, with the document check."""

    http: HttpClient
    url: str  # base URL
    new_id: NewId
    read_bsn: ReadBsn = Bsn.parse
    deadline: float = 10.0  # seconds for one question

    async def find(self, person: Person) -> Answer:
        """The BSN of the one person that fits; raises as `Persons.find`."""
        require_askable(person)
        return plain.read_answer(await self._post("find", plain.question(person)), self.read_bsn)

    async def verify(self, bsn: Bsn, person: Person) -> Answer:
        """Whether this number is of this person; raises as `Persons.verify`."""
        require_askable(person)
        told = await self._post("verify", plain.question(person, bsn))
        found = plain.read_answer(told, self.read_bsn)
        return _of(bsn, found)

    async def in_circulation(self, bsn: Bsn, kind: Document, number: str) -> bool:
        """Whether this document may be in circulation; raises as `Persons.in_circulation`."""
        asked = {"bsn": bsn.value, "kind": kind.value, "number": document_number(number)}
        return plain.read_verdict(await self._post("document", asked))

    async def _post(self, what: str, asked: Mapping[str, object]) -> Any:
        url, body = f"{self.url.rstrip('/')}/{what}", dump(dict(asked))
        headers = {"content-type": "application/json", "x-request-id": self.new_id()}
        reply = await self.http.send(
            "POST", url, headers=headers, body=body, deadline=self.deadline
        )
        _require_answered(reply)
        try:
            return parse(reply.body)
        except LdnError as error:
            raise plain.unintelligible() from error


Wire = Callable[[HttpClient, str, NewId, ReadBsn], Persons]

# wire profile -> how the register is asked
WIRES: Mapping[str, Wire] = {"sbvz-mrt21": SbvzPersons, "json": PlainPersons}


def persons(
    wire: str, http: HttpClient, url: str, new_id: NewId, read_bsn: ReadBsn = Bsn.parse
) -> Persons:
    """The register of people over this wire; raises LdnError(invalid) that lists the wires."""
    if wire not in WIRES:
        text = f"no wire {wire!r} to the register of people; there are: {', '.join(WIRES)}"
        raise LdnError(Issue.INVALID, text)
    return WIRES[wire](http, url, new_id, read_bsn)


def _require_answered(reply: Reply) -> None:
    if reply.status != 200:
        text = "the register of people gives no answer now; try again later"
        if reply.status in {401, 403}:
            text = "the register of people does not let us in; check certificate and subscription"
        raise LdnError(Issue.INCOMPLETE, text, detail=f"persons: status {reply.status}")


def _of(bsn: Bsn, found: Answer) -> Answer:
    """The answer, once it is about the number that was asked."""
    if found.bsn not in {None, bsn}:
        raise plain.unintelligible()
    return found
