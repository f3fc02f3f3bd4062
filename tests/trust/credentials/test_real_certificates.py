"""Credentials on the real certificate trust, with lists over HTTP: A13, R60, R61, R62."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from trust.certificates.served import Served, authority
from trust.credentials.kit import AUDIENCE, NUTS, definition, holder

from openldn.base.errors import LdnError
from openldn.base.runtime import new_uuid
from openldn.trust.certificates.keys import Signing
from openldn.trust.credentials.credential import Credentials, Trust
from openldn.trust.credentials.did_x509 import fingerprint
from openldn.trust.credentials.issue import Making, complete, issue_x509, present
from openldn.trust.credentials.model import Expected, Presented
from openldn.trust.credentials.presentation import Verifier
from openldn.trust.credentials.resolver import Resolver
from openldn.trust.trail import Trail


class World:
    """A party of an authority that serves its lists, and one who believes that authority."""

    def __init__(self, served: Served) -> None:
        served.issue("hospital")
        folder = served.folder / "hospital"
        loaded = Signing.load(folder / "signing.key", folder / "signing.pem")
        self.signing = replace(loaded, chain=complete(loaded.chain, served.root.certificates))
        self.served, self.belief = served, served.belief()
        trust = Trust(frozenset({fingerprint(served.authority.certificate)}))
        self.verifier = Verifier(Credentials(Resolver(None), self.belief, trust))

    async def shown(self) -> Presented:
        making, party = Making(self.served.clock, new_uuid), holder()
        credential = issue_x509(self.signing, party.did, NUTS, making)
        vp = present(party, [credential], AUDIENCE, 5, making)
        expected = Expected(frozenset({AUDIENCE}), self.served.clock(), NUTS)
        return await self.verifier.verify(vp, definition(), expected, Trail())


def test_a13_a_presentation_dies_with_its_certificate(tmp_path: Path) -> None:
    async def run() -> None:
        async with authority(tmp_path) as served:
            world = World(served)
            found = await world.shown()
            certificate = found.evidence[-1]
            assert await world.belief.still(certificate)

            served.revoke()
            served.clock.advance(60)
            await world.belief.refresh()

            with pytest.raises(LdnError) as caught:
                await world.shown()
            assert caught.value.detail.startswith("certificate.revoked")
            assert not await world.belief.still(certificate)

    asyncio.run(run())


def test_r60_without_a_list_nothing_is_believed(tmp_path: Path) -> None:
    async def run() -> None:
        async with authority(tmp_path) as served:
            served.faults["/crl"] = "404"
            with pytest.raises(LdnError) as caught:
                await World(served).shown()
            assert caught.value.detail.startswith("certificate.status")

    asyncio.run(run())
