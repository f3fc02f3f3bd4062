"""A running broker, put together from its settings."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from starlette.routing import BaseRoute

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient, client_context
from openldn.base.log import emit
from openldn.base.runtime import Clock, NewId
from openldn.base.sql import Pool, open_pool
from openldn.fhir.identifiers import Ura
from openldn.trust.broker.anchors_store import AnchorStore
from openldn.trust.broker.api import Operators, anchor_routes, key_routes, routes
from openldn.trust.broker.keys import BrokerKeys
from openldn.trust.broker.mint import AssertionMint, PresentationMint
from openldn.trust.broker.model import Draft, Mint, Reader
from openldn.trust.broker.readers import (
    AssertionReader,
    CertificateReader,
    PresentationReader,
    SamlReader,
)
from openldn.trust.broker.revocation import RevocationFeed
from openldn.trust.broker.saml import SamlMint
from openldn.trust.broker.service import CERTIFICATE, JWT, SAML, VP, Broker, Directory
from openldn.trust.broker.settings import BrokerSettings
from openldn.trust.broker.store import ConversionStore
from openldn.trust.broker.trusted import FRESHNESS, Trusted
from openldn.trust.certificates import Anchors
from openldn.trust.certificates.keys import Signing
from openldn.trust.credentials.api import status_routes
from openldn.trust.credentials.credential import Credentials, Trust
from openldn.trust.credentials.definitions import shipped_policies
from openldn.trust.credentials.issue import Issuer
from openldn.trust.credentials.presentation import Verifier
from openldn.trust.credentials.published import PublishedLists
from openldn.trust.credentials.resolver import Resolver
from openldn.trust.credentials.status import FAMILIES, StatusLists
from openldn.trust.credentials.store import CredentialStore
from openldn.trust.documents import Documents, hosts
from openldn.trust.evidence import Kind, Status
from openldn.trust.jose import jwk_thumbprint, suited
from openldn.trust.peers import profile
from openldn.trust.saml.organizations import organizations

_OTHERWISE = "StatusList2021Entry"  # where the profile of a peer names no type


@dataclass(frozen=True)
class Lists:
    """The broker's status lists, one for each type of entry."""

    by_kind: Mapping[str, PublishedLists]
    _any: PublishedLists = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """A place is the same in each list, so revoking in one is enough."""
        object.__setattr__(self, "_any", self.by_kind[_OTHERWISE])

    async def entry(self, draft: Draft) -> Status:
        """A fresh place for what is to be minted."""
        kind = draft.audience.profile.status_list or _OTHERWISE
        made = await self.by_kind[kind].entry(draft.id)
        return Status(made["statusListCredential"], int(made["statusListIndex"]))

    async def revoke(self, jti: str) -> None:
        """Set its bit; once is enough."""
        with suppress(LdnError):
            await self._any.revoke(jti)


@dataclass(frozen=True)
class RunningBroker:
    """A broker that serves."""

    broker: Broker
    routes: list[BaseRoute]
    feed: RevocationFeed
    trusted: Trusted


@asynccontextmanager
async def open_broker(
    settings: BrokerSettings, directory: Directory, clock: Clock, new_id: NewId
) -> AsyncIterator[RunningBroker]:
    """A broker with its database, keys, anchors and revocation feed, for as long as it runs.

    `directory` tells which holder has an authorization server at a URL; None: none that takes
    part. Raises LdnError: transient when the database is away, exception for unusable files.
    """
    if settings.insecure_anchors is not None:
        emit("insecure", setting="insecure_anchors")
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings.dsn)
        stack.push_async_callback(pool.close)
        documents = _documents(settings, clock, stack)
        made = await _put_together(settings, pool, documents, (directory, new_id))
        tasks = [
            asyncio.create_task(made.trusted.refresh_forever()),
            asyncio.create_task(made.feed.run(settings.revocation_every)),
        ]
        for task in tasks:
            stack.push_async_callback(_stop, task)
        yield made


def _documents(settings: BrokerSettings, clock: Clock, stack: AsyncExitStack) -> Documents:
    secure, plain = HttpClient(client_context(settings.identity)), HttpClient()
    documents = Documents(
        lambda url: secure if url.startswith("https:") else plain,
        hosts(settings.fetch_hosts),
        clock,
    )
    for part in (secure, plain, documents):
        stack.push_async_callback(part.close)
    return documents


async def _put_together(
    settings: BrokerSettings, pool: Pool, documents: Documents, given: tuple[Directory, NewId]
) -> RunningBroker:
    (directory, new_id), clock = given, documents.clock
    store, anchors, kept = ConversionStore(pool), AnchorStore(pool), CredentialStore(pool)
    await store.prepare()
    await kept.prepare()
    seed = _seed(settings.insecure_anchors)
    trusted = Trusted(anchors, documents, clock, settings.saml_issuers, seed)
    await trusted.refresh()
    keys = _keys(settings)
    lists = _lists(settings.holder, keys, kept, clock)
    broker = Broker(
        url=settings.issuer,
        readers=_readers(settings, trusted),
        mints=_mints(settings, keys, new_id),
        directory=directory,
        entry=lists.entry,
        store=store,
        clock=clock,
        new_id=new_id,
        connected=trusted.connected,
        longest=timedelta(seconds=settings.lifetime),
        kept=timedelta(days=settings.trail_days),
    )
    looks = {
        Kind.CERTIFICATE: trusted.still,
        Kind.SAML: trusted.still,
        Kind.CREDENTIAL: lambda evidence: _statuses(trusted).still(evidence),
    }
    served: list[BaseRoute] = [
        *routes(broker),
        *key_routes(keys),
        *(r for each in lists.by_kind.values() for r in status_routes(each)),
        *anchor_routes(anchors, Operators(settings.operators), clock),
    ]
    feed = RevocationFeed(store, looks, lists.revoke, clock, trusted.renew)
    return RunningBroker(broker, served, feed, trusted)


def _lists(holder: Ura, keys: BrokerKeys, store: CredentialStore, clock: Clock) -> Lists:
    found = {}
    for number, kind in enumerate(sorted(FAMILIES)):
        base = f"{keys.origin}/status/{number}"
        found[kind] = PublishedLists(holder, _issuer(keys), base, store, clock, kind)
    return Lists(found)


def _seed(path: Path | None) -> tuple[x509.Certificate, ...]:
    return Anchors.load(path).certificates if path else ()


def _keys(settings: BrokerSettings) -> BrokerKeys:
    found = [Signing.load(key, None, settings.secret_file) for key in settings.signing_keys]
    if not found:
        raise LdnError(Issue.INVALID, "a broker needs a key to sign with; set signing_keys")
    return BrokerKeys(settings.issuer, tuple(s.key for s in found))


def _issuer(keys: BrokerKeys) -> Issuer:
    key = keys.keys[0]
    return Issuer(keys.did, f"{keys.did}#{jwk_thumbprint(key)}", key, suited(key)[0])


def _statuses(trusted: Trusted) -> StatusLists:
    documents = trusted.documents
    fresh = FRESHNESS.fresh
    trust = Trust(trusted.issuing)
    return StatusLists(documents, Resolver(documents), trusted, trust, trusted.clock, fresh)


def _readers(settings: BrokerSettings, trusted: Trusted) -> dict[str, Reader]:
    twiin, nuts = profile("twiin"), profile("ig-2026")

    def presentations() -> Verifier:
        statuses = _statuses(trusted)  # anew: whom we believe may have changed
        return Verifier(Credentials(statuses.resolver, trusted, statuses.trust, statuses))

    definition = shipped_policies()["bgz"].organization
    known = {name: Ura.parse(ura) for name, ura in settings.saml_organizations.items()}
    zorgplatform = profile("zorgplatform")
    return {
        JWT: AssertionReader(trusted, twiin),
        VP: PresentationReader(presentations, definition, trusted, nuts),
        SAML: SamlReader(settings.issuer, zorgplatform, trusted.pinned, organizations(known)),
        CERTIFICATE: CertificateReader(trusted, twiin),
    }


def _mints(settings: BrokerSettings, keys: BrokerKeys, new_id: NewId) -> dict[str, Mint]:
    signing = Signing.load(settings.saml_key, settings.saml_certificate, settings.secret_file)
    return {
        "jwt": AssertionMint(keys, new_id),
        "vp": PresentationMint(keys, new_id),
        "saml": SamlMint(settings.issuer, keys.did, signing),
    }


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
