"""What a node asks before it vouches for a person: a statement, firm enough for the purpose."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient
from openldn.base.runtime import Clock
from openldn.base.settings import Settings
from openldn.fhir.identifiers import Ura
from openldn.trust.documents import Documents, hosts
from openldn.trust.parties import Person
from openldn.trust.people.levels import needed
from openldn.trust.people.provider import secure
from openldn.trust.people.statement import DeziExpected, DeziPerson, Source, verify, vouched
from openldn.trust.trail import Rule, Trail

SHOWN = Rule("person.statement", "NEN 7512", "the person shows a statement")


class PeopleSettings(Settings, frozen=True):
    """Whose statements about people count."""

    issuers: tuple[str, ...]  # `iss` of statements, exactly
    key_sets: tuple[str, ...]  # `jku` of statements, exactly
    status_hosts: tuple[str, ...]  # hosts that tell whether a statement still counts
    required: bool = True  # a question without a statement is refused
    ca: Path | None = None  # authorities that their certificates may come from; None: the system's
    needs: dict[str, str] = msgspec.field(default_factory=dict)  # purpose of use -> level of
    # assurance, instead of our own table

    @property
    def source(self) -> Source:
        """The one who makes statements, as the check wants it."""
        return Source(
            frozenset(self.issuers), frozenset(self.key_sets), frozenset(self.status_hosts)
        )


@dataclass
class Vouchers:
    """Looks at statements on behalf of one organization."""

    expected: DeziExpected
    client: HttpClient = field(repr=False)
    required: bool
    needs: Mapping[str, str]

    async def vouch(self, text: str, said: Person, purpose: str, trail: Trail) -> DeziPerson | None:
        """The person of the statement, who is the one said to ask; None without a statement.

        Raises LdnError(the trail's issue): no statement where one is required, a statement that
        does not hold, of someone else, for another organization, or too weak for the purpose.
        """
        if not text and not self.required:
            trail.skip(SHOWN, "not required")
            return None
        trail.require(bool(text), SHOWN)
        expected = replace(self.expected, lowest=needed(purpose, self.needs))
        return await vouched(text, said, expected, trail)

    async def statement(self, text: str, organization: Ura, trail: Trail) -> DeziPerson:
        """The person of a statement inside a credential of this organization; raises as `vouch`."""
        return await verify(text, replace(self.expected, organization=organization), trail)

    async def close(self) -> None:
        """Close every connection."""
        await self.expected.documents.close()
        await self.client.close()


def vouchers(settings: PeopleSettings, organization: Ura, clock: Clock) -> Vouchers:
    """Ready to vouch for this organization's people; raises LdnError(invalid) for bad settings."""
    for purpose in settings.needs:
        needed(purpose, settings.needs)
    if not settings.key_sets or not all(map(secure, settings.key_sets)):
        text = "people.key_sets: give addresses on https, or http on this machine itself"
        raise LdnError(Issue.INVALID, text)
    plain = all(url.startswith("http://") for url in settings.key_sets)
    client = HttpClient() if plain else HttpClient(trusting(settings.ca))
    names = {urlsplit(url).netloc for url in settings.key_sets} | set(settings.status_hosts)
    documents = Documents(lambda _: client, hosts(names), clock)
    expected = DeziExpected(organization, (settings.source,), documents)
    return Vouchers(expected, client, settings.required, settings.needs)


def trusting(ca: Path | None) -> ssl.SSLContext:
    """TLS that believes these authorities, and shows nothing; raises LdnError(invalid)."""
    try:
        context = ssl.create_default_context(cafile=ca)
    except (OSError, ssl.SSLError) as error:
        text = f"ca {ca}: no authorities can be read there"
        raise LdnError(Issue.INVALID, text) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
