"""The directory on the wire: FHIR R4 (IHE mCSD), read by every party, written by the owner only.

Source: specification of addressing §7.2, §7.5, §7.8; rules D06-D13, D17.
"""

from dataclasses import dataclass

from starlette.requests import Request
from starlette.routing import BaseRoute

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.base.runtime import Clock
from openldn.fhir.api import Api, Interaction, fhir_routes
from openldn.fhir.codec import parse
from openldn.fhir.identifiers import Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.model import Place
from openldn.fhir.records.store import Records
from openldn.functions.addressing.profiles import TYPES, faults, names_itself, owner
from openldn.functions.addressing.resources import organization_id
from openldn.trust.certificates import require_party

DIRECTORY = Place("directory", FhirVersion.R4)  # the directory's entries are nobody's patients
_READS = frozenset({"read", "vread", "search-type", "history-instance", "history-type"}) | {
    "history-system",
    "capabilities",
}
_BUNDLES = frozenset({"transaction", "batch"})  # each entry is looked at by itself


def routes(records: Records, clock: Clock, public: str, prefix: str = "/fhir") -> list[BaseRoute]:
    """The routes of the directory; `public` is the base URL the world sees."""
    api = Api(
        records,
        FhirVersion.R4,
        place_of=_place,
        guard=Gate(records, clock),
        types=TYPES,
        public=public,
    )
    return fhir_routes(api, prefix)


async def _place(request: Request) -> Place:
    return DIRECTORY


@dataclass(frozen=True)
class Gate:
    """Who may do what: everyone with a trusted certificate reads, the owner writes."""

    records: Records
    clock: Clock

    async def __call__(self, request: Request, wanted: Interaction) -> None:
        """Let it pass, or raise LdnError.

        login without a certificate, not-supported for removal, business-rule for an entry that
        breaks a profile, forbidden for an entry of another organization, invalid with status 428
        for a change without If-Match.
        """
        party = require_party(peer_certificate(request.scope), self.clock())
        if wanted.code in _READS or wanted.code in _BUNDLES:
            return
        resource = _written(wanted)
        if found := faults(resource):
            where = found[0].partition(":")[0]
            raise LdnError(Issue.BUSINESS_RULE, "; ".join(found), where=where)
        if owner(resource) != party.ura:
            raise _not_yours()
        if names_itself(resource) and wanted.id != organization_id(party.ura):
            text = f"a care provider has one entry: PUT Organization/ura-{party.ura}"
            raise LdnError(Issue.BUSINESS_RULE, text)
        if wanted.code == "update":
            await self._check_update(request, wanted, party.ura)

    async def _check_update(self, request: Request, wanted: Interaction, ura: Ura) -> None:
        standing = await self._standing(wanted)
        if standing is None:
            # Ids tell whose they are, so that nobody takes an id before its owner does.
            own = organization_id(ura)
            if wanted.id != own and not wanted.id.startswith(f"{own}-"):
                text = f"an id that you choose begins with {own}-"
                raise LdnError(Issue.FORBIDDEN, text)
        elif owner(standing) != ura:
            raise _not_yours()
        elif request.method == "PUT" and "if-match" not in request.headers:
            text = "send If-Match with the version you read (its ETag)"
            raise LdnError(Issue.INVALID, text, status=428)

    async def _standing(self, wanted: Interaction) -> Resource | None:
        try:
            record = await self.records.read(DIRECTORY, wanted.type, wanted.id)
        except LdnError as error:
            if error.issue in {Issue.NOT_FOUND, Issue.DELETED}:
                return None
            raise
        found = parse(record.body or b"{}")
        return found if isinstance(found, dict) else None


def _written(wanted: Interaction) -> Resource:
    if wanted.code not in {"create", "update"} or wanted.resource is None:
        text = "entries are not removed: set active to false, or status to off"
        raise LdnError(Issue.NOT_SUPPORTED, text)
    if wanted.query is not None:
        text = "write an entry at its own address, without conditions"
        raise LdnError(Issue.NOT_SUPPORTED, text)
    return wanted.resource


def _not_yours() -> LdnError:
    text = "an entry is written by the organization it belongs to, with its own certificate"
    return LdnError(Issue.FORBIDDEN, text)
