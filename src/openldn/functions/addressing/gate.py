"""Who may do what in the directory: everyone reads, the owner writes, or whom it mandated.

Source: specification of addressing §7.1, §7.2, §7.8, §9; rules D06-D14, D18.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from starlette.requests import Request

from openldn.base.errors import Issue, LdnError
from openldn.base.http import peer_certificate
from openldn.base.runtime import Clock
from openldn.fhir.api import Interaction
from openldn.fhir.codec import parse
from openldn.fhir.identifiers import URA_SYSTEM, Ura
from openldn.fhir.model import FhirVersion, Resource
from openldn.fhir.records.model import Place
from openldn.fhir.records.store import Records
from openldn.fhir.search.parse import parse_query
from openldn.functions.addressing.profiles import (
    SHARED,
    faults,
    names_itself,
    of_reference,
    owner,
)
from openldn.functions.addressing.resources import MANDATES, in_period, organization_id
from openldn.trust.certificates import require_party
from openldn.trust.parties import CALLER, caller_of
from openldn.trust.signatures import Verifier

DIRECTORY = Place("directory", FhirVersion.R4)  # the directory's entries are nobody's patients
READ, WRITE = "addressing:read", "addressing:write"
_READS = frozenset({"read", "vread", "search-type", "history-instance", "history-type"}) | {
    "history-system",
    "capabilities",
}
_BUNDLES = frozenset({"transaction", "batch"})  # each entry is looked at by itself
_ASKED = frozenset({"identifier", "_count"})  # all a national directory is searched by (§7.8)
MANDATED = {  # code of an affiliation -> what it lets the other write
    "lrza-careprovider-admin": frozenset(
        {"Organization", "Location", "HealthcareService", "Endpoint"}
    ),
    "lrza-endpoint-admin": frozenset({"Endpoint"}),
}


@dataclass(frozen=True)
class Gate:
    """Decides on each interaction with the directory.

    Who calls, the gateway says; where none stands before us, the certificate on the connection.
    """

    records: Records
    clock: Clock
    signatures: Verifier | None = None  # None: no signature can be verified here
    strict: bool = False  # the whole of the national profiles, and its two ways of asking

    async def __call__(self, request: Request, wanted: Interaction) -> None:
        """Let it pass, or raise LdnError.

        login when nobody is established, not-supported for removal, business-rule for an entry
        that breaks a profile or a signature that does not hold, forbidden for an entry of
        another organization, conflict for an identifier of another entry, invalid with status
        428 for a change without If-Match.
        """
        if wanted.code in _READS:
            self._may_read(request, wanted)
            return
        ura = self._writer(request)
        if wanted.code in _BUNDLES:
            return
        resource = _written(wanted)
        if wanted.type == "Provenance":
            await self._answered_for(wanted, resource, ura)
            return
        if found := faults(resource, strict=self.strict):
            where = found[0].partition(":")[0]
            raise LdnError(Issue.BUSINESS_RULE, "; ".join(found), where=where)
        await self._require_right(resource, ura)
        if names_itself(resource) and wanted.id != organization_id(_owner(resource)):
            text = f"a care provider has one entry: PUT Organization/ura-{owner(resource)}"
            raise LdnError(Issue.BUSINESS_RULE, text)
        standing = None
        if wanted.code == "update":
            standing = await self._check_update(wanted, resource, ura)
        await self._check_identifiers(wanted, resource, standing)

    def _may_read(self, request: Request, wanted: Interaction) -> None:
        if CALLER in request.scope:
            caller_of(request.scope).need(READ)
        else:
            require_party(peer_certificate(request.scope), self.clock())
        if self.strict and wanted.query is not None:
            asked = {name.partition(":")[0] for name, _ in wanted.query.understood}
            if more := sorted(asked - _ASKED):
                text = f"parameter {more[0]}: the national directory is not searched; keep a copy"
                raise LdnError(Issue.INVALID, text, where=more[0])

    def _writer(self, request: Request) -> Ura:
        if CALLER not in request.scope:
            return require_party(peer_certificate(request.scope), self.clock()).ura
        caller = caller_of(request.scope)
        caller.need(WRITE)
        return caller.organization

    async def _require_right(self, resource: Resource, ura: Ura) -> None:
        """Raise LdnError(forbidden) unless the entry is its own, or its owner let it write so."""
        whose = owner(resource)
        if whose == ura:
            return
        if whose is None or not await self._mandated(whose, ura, str(resource["resourceType"])):
            raise _not_yours()

    async def _mandated(self, whose: Ura, ura: Ura, type: str) -> bool:
        codes = {code for code, types in MANDATED.items() if type in types}
        found = await self._affiliations(whose) if codes else []
        return any(_mandate(r, whose, ura, codes, self.clock()) for r in found)

    async def _affiliations(self, whose: Ura) -> list[Resource]:
        """The active affiliations of this care provider, however they name it."""
        ways = (
            ("primary-organization", f"Organization/{organization_id(whose)}"),
            ("primary-organization:identifier", f"{URA_SYSTEM}|{whose}"),
        )
        pairs = [[way, ("active", "true")] for way in ways]
        return [r for asked in pairs for r in await self._search("OrganizationAffiliation", asked)]

    async def _check_update(self, wanted: Interaction, resource: Resource, ura: Ura) -> Resource:
        standing = await self._standing(wanted.type, wanted.id)
        if not standing:
            # Ids tell whose they are, so that nobody takes an id before its owner does.
            own = organization_id(_owner(resource))
            if wanted.id != own and not wanted.id.startswith(f"{own}-"):
                text = f"an id that you choose begins with {own}-"
                raise LdnError(Issue.FORBIDDEN, text)
            return standing
        if owner(standing) != owner(resource):
            raise _not_yours()
        await self._require_right(standing, ura)
        if wanted.if_match is None:
            text = "send If-Match with the version you read (its ETag)"
            raise LdnError(Issue.INVALID, text, status=428)
        return standing

    async def _check_identifiers(
        self, wanted: Interaction, resource: Resource, standing: Resource | None
    ) -> None:
        """Raise LdnError(conflict) for an identifier of another entry, or one that is dropped.

        Entries are never removed, so this holds for what was withdrawn as well (D18).
        """
        own = set(_lasting(resource))
        if gone := sorted(set(_lasting(standing or {})) - own):
            text = f"an identifier stays with its entry; {gone[0][0]} is missing"
            raise LdnError(Issue.CONFLICT, text, where=f"{wanted.type}.identifier")
        for system, value in sorted(own - set(_lasting(standing or {}))):
            found = await self._search(wanted.type, [("identifier", _token(system, value))])
            if any(r["id"] != wanted.id for r in found):
                text = f"this identifier is of another entry ({system}); it is never given again"
                raise LdnError(Issue.CONFLICT, text, where=f"{wanted.type}.identifier")

    async def _answered_for(self, wanted: Interaction, resource: Resource, ura: Ura) -> None:
        """A Provenance: whose entry it is about, and whether its signature holds (D14)."""
        if wanted.code != "create":
            text = "what was said of an entry stays as it was said: create another Provenance"
            raise LdnError(Issue.NOT_SUPPORTED, text)
        target = await self._target(resource)
        await self._require_right(target, ura)
        if "signature" not in resource:
            return
        if self.signatures is None:
            text = "signatures are not verified here; send the Provenance without"
            raise LdnError(Issue.BUSINESS_RULE, text, where="Provenance.signature")
        signed = await self.signatures.verify(target, resource, self.clock())
        if signed.ura != ura:
            text = "the signature is by another organization than the one that sends it"
            raise LdnError(Issue.BUSINESS_RULE, text, where="Provenance.signature")

    async def _target(self, resource: Resource) -> Resource:
        named = [str(t.get("reference", "")) for t in resource.get("target", [])]
        type, _, id = named[0].partition("/_history/")[0].rpartition("/") if named else ("", "", "")
        found = await self._standing(type, id) if len(named) == 1 and type else {}
        if not found:
            text = "a Provenance is about one entry that stands here: Type/id"
            raise LdnError(Issue.BUSINESS_RULE, text, where="Provenance.target")
        return found

    async def _standing(self, type: str, id: str) -> Resource:
        """The entry as it stands; empty when it is not there."""
        try:
            record = await self.records.read(DIRECTORY, type, id)
        except LdnError as error:
            if error.issue in {Issue.NOT_FOUND, Issue.DELETED}:
                return {}
            raise
        return _parsed(record.body)

    async def _search(self, type: str, pairs: list[tuple[str, str]]) -> list[Resource]:
        found = await self.records.search(DIRECTORY, parse_query(FhirVersion.R4, type, pairs))
        return [_parsed(record.body) for record in found.matches]


def _parsed(body: bytes | None) -> Resource:
    found = parse(body or b"{}")
    return found if isinstance(found, dict) else {}


def _owner(resource: Resource) -> Ura:
    found = owner(resource)
    if found is None:
        raise _not_yours()
    return found


def _mandate(
    affiliation: Resource, whose: Ura, ura: Ura, codes: Iterable[str], now: datetime
) -> bool:
    """Whether by this entry `whose` lets `ura` write, now, under one of these codes."""
    party = affiliation.get("participatingOrganization")
    return (
        affiliation.get("active") is True
        and owner(affiliation) == whose
        and isinstance(party, dict)
        and of_reference(party) == ura
        and in_period(affiliation, now)
        and not set(codes).isdisjoint(_mandates(affiliation))
    )


def _mandates(affiliation: Resource) -> Iterator[str]:
    for concept in affiliation.get("code", []):
        for coding in concept.get("coding", []):
            if coding.get("system") in MANDATES:
                yield str(coding.get("code"))


def _lasting(resource: Resource) -> Iterator[tuple[str, str]]:
    """The identifiers that are of one entry for ever."""
    for identifier in resource.get("identifier", []):
        system, value = str(identifier.get("system", "")), str(identifier.get("value", ""))
        if system and value and system not in SHARED:
            yield system, value


def _token(system: str, value: str) -> str:
    """Both as a search takes them literally (hl7.org/fhir/R4/search.html#escaping)."""
    return "|".join(re.sub(r"([\\,|$])", r"\\\1", text) for text in (system, value))


def _written(wanted: Interaction) -> Resource:
    if wanted.code not in {"create", "update"} or wanted.resource is None:
        text = "entries are not removed: set active to false, or status to off"
        raise LdnError(Issue.NOT_SUPPORTED, text)
    if wanted.query is not None:
        text = "write an entry at its own address, without conditions"
        raise LdnError(Issue.NOT_SUPPORTED, text)
    return wanted.resource


def _not_yours() -> LdnError:
    text = (
        "an entry is written by the organization it belongs to, or by whom that organization "
        "mandated in an OrganizationAffiliation"
    )
    return LdnError(Issue.FORBIDDEN, text)
