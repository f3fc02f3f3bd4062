"""The access log of another node, asked for a citizen: over the wire, never in an address."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient
from openldn.base.runtime import instant
from openldn.fhir.codec import dump, parse
from openldn.fhir.identifiers import Bsn
from openldn.functions.audit.overview import Keeper, Period, Told

__all__ = ["AccessLogClient"]


@dataclass
class AccessLogClient:
    """Asks the nodes of other organizations who saw what of a patient (`Collector.ask`)."""

    http: HttpClient
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # the patient's token
    deadline: float = 5.0  # seconds for one page

    async def __call__(self, keeper: Keeper, patient: Bsn, period: Period, page: int) -> Told:
        """One page of what this node knows.

        Raises LdnError: incomplete when it cannot be reached or answers nonsense, timeout,
        forbidden when it refuses.
        """
        asked = {
            "bsn": patient.value,
            "since": instant(period.since),
            "until": instant(period.until),
            "page": page,
        }
        reply = await self.http.send(
            "POST",
            keeper.url,
            headers={**self.headers, "content-type": "application/json"},
            body=dump(asked),
            deadline=self.deadline,
        )
        if reply.status in {401, 403}:
            raise LdnError(Issue.FORBIDDEN, "this organization does not show its log to us")
        if reply.status != 200:
            text = f"this organization answers with status {reply.status}; its operator's turn"
            raise LdnError(Issue.INCOMPLETE, text)
        try:
            return msgspec.convert(parse(reply.body), Told)
        except (msgspec.ValidationError, LdnError) as error:
            text = "the answer of this organization cannot be read; its operator's turn"
            raise LdnError(Issue.INCOMPLETE, text) from error
