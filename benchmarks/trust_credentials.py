"""What believing a presentation costs: one X509Credential, by an RSA key."""

import asyncio
import statistics
import tempfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.trust_certificates import quantile, row, times
from cryptography.hazmat.primitives.asymmetric import ec
from starlette.applications import Starlette

from openldn.base.http import HttpClient, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.fhir.codec import dump
from openldn.fhir.identifiers import Ura
from openldn.trust import jose
from openldn.trust.certificates.api import routes
from openldn.trust.certificates.belief import Belief
from openldn.trust.certificates.chain import Anchors
from openldn.trust.certificates.issue import Subject, create_authority, issue_signing, served_at
from openldn.trust.certificates.keys import Signing
from openldn.trust.credentials.credential import Credentials, Trust
from openldn.trust.credentials.definitions import shipped_policies
from openldn.trust.credentials.did_x509 import fingerprint
from openldn.trust.credentials.issue import HolderKey, Making, complete, issue_x509, present
from openldn.trust.credentials.model import Expected
from openldn.trust.credentials.presentation import Verifier
from openldn.trust.credentials.resolver import Resolver
from openldn.trust.documents import Documents, hosts
from openldn.trust.peers import profile
from openldn.trust.trail import Trail

ROUNDS, AUDIENCE = 2_000, "https://node.example/oauth2/90000382"
NUTS = profile("nuts-6")


def run() -> list[dict[str, Any]]:
    """One row per figure; `target` is what it may be at most."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measured(Path(folder)))


async def _measured(folder: Path) -> list[dict[str, Any]]:
    client = HttpClient()
    app = Starlette(routes=list(routes(folder)))
    async with serving(app, "127.0.0.1", 0, None) as port:
        address = f"http://127.0.0.1:{port}"
        create_authority(folder, address=address)
        subject = Subject(Ura("90000382"), "Ziekenhuis Oost")
        issue_signing(folder / "a", subject, shape=served_at(address, "rsa"))
        documents = Documents(lambda _: client, hosts({"127.0.0.1"}), utc_now)
        rows = await _rows(folder, documents)
        await documents.close()
        await client.close()
    return rows


async def _rows(folder: Path, documents: Documents) -> list[dict[str, Any]]:
    anchors = Anchors.load(folder / "ca.pem")
    loaded = Signing.load(folder / "a/signing.key", folder / "a/signing.pem")
    signing = replace(loaded, chain=complete(loaded.chain, anchors.certificates))
    belief = Belief(anchors, documents, utc_now)
    trust = Trust(frozenset({fingerprint(signing.chain[1])}))
    verifier = Verifier(Credentials(Resolver(documents), belief, trust))
    holder, making = _holder(), Making(utc_now, new_uuid, timedelta(days=30))
    credential = issue_x509(signing, holder.did, NUTS, making)
    vp = present(holder, [credential], AUDIENCE, 5, making)
    definition = shipped_policies()["bgz"].organization
    expected = Expected(frozenset({AUDIENCE}), utc_now(), NUTS)

    async def made() -> object:
        return present(holder, [credential], AUDIENCE, 5, making)

    async def verified() -> object:
        return await verifier.verify(vp, definition, expected, Trail())

    async def first() -> object:
        credentials = Credentials(Resolver(documents), belief, trust)
        return await Verifier(credentials).verify(vp, definition, expected, Trail())

    await verified()
    unseen = await times(first, ROUNDS)
    warm, making_ = await times(verified, ROUNDS), await times(made, ROUNDS)
    return [
        row("credentials: VP with one VC verified, warm, median", statistics.median(warm), 1.5),
        row("credentials: VP with one VC verified, warm, p99", quantile(warm)),
        row("credentials: VP with a VC not seen before, median", statistics.median(unseen)),
        row("credentials: VP made, median", statistics.median(making_)),
    ]


def _holder() -> HolderKey:
    key = jose.key_of(ec.generate_private_key(ec.SECP256R1()))
    return HolderKey(f"did:jwk:{jose.encoded(dump(jose.public_jwk(key)))}", "0", key)
