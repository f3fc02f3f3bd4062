"""The authorization server that `benchmarks.tokens` measures, in processes of its own.

python -m benchmarks.token_server FOLDER DSN PORT; several may share one port.
"""

import socket
import ssl
import sys
from pathlib import Path

import msgspec
import uvloop
from benchmarks.token_parties import HOLDER, POLICIES, SCOPE, authorities, knowing

from openldn.base.http import Identity, server, server_context
from openldn.base.log import configure
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.sql import open_pool
from openldn.fhir.http import application
from openldn.fhir.identifiers import Ura
from openldn.trust.certificates import Anchors
from openldn.trust.certificates.belief import Belief
from openldn.trust.credentials.credential import Credentials, Trust
from openldn.trust.credentials.did_x509 import fingerprint
from openldn.trust.credentials.presentation import Verifier
from openldn.trust.credentials.resolver import Resolver
from openldn.trust.peers import Profile, profile
from openldn.trust.tokens import dpop
from openldn.trust.tokens.api import routes
from openldn.trust.tokens.ports import Ports
from openldn.trust.tokens.rate import Rate
from openldn.trust.tokens.service import AuthorizationServer
from openldn.trust.tokens.store import TokenStore

SKEW = 600  # seconds: the requests are made and signed before the clock starts


def unlisted(name: str) -> Profile:
    """The profile without revocation lists: their documents are measured elsewhere."""
    return msgspec.structs.replace(profile(name), revocation="none", skew=SKEW)


async def serve(folder: Path, dsn: str, port: int) -> None:
    """Serve until the process ends."""
    pool = await open_pool(dsn, size=8, minimum=8)
    tenant = _tenant(folder, TokenStore(pool), f"https://127.0.0.1:{port}/oauth2/{HOLDER}")
    await tenant.store.prepare()
    shown = folder / "holder"
    identity = Identity(shown / "server.pem", shown / "server.key", folder / "ca.pem")
    context = server_context(identity)
    context.verify_mode = ssl.CERT_OPTIONAL  # the baseline knows no client certificates
    app = application(routes(tenant), role="bench", new_id=new_uuid)
    entrance = socket.create_server(("127.0.0.1", port), reuse_port=True, backlog=256)
    await server(app, "127.0.0.1", port, context).serve(sockets=[entrance])


def _tenant(folder: Path, store: TokenStore, issuer: str) -> AuthorizationServer:
    anchors = Anchors.load(folder / "ca.pem")
    believes = Belief(anchors, None, utc_now)
    issuing = frozenset(fingerprint(c) for c in authorities(folder))
    verifier = Verifier(Credentials(Resolver(None), believes, Trust(issuing)))

    async def known(ura: Ura) -> bool:
        return True

    return AuthorizationServer(
        holder=HOLDER,
        issuer=issuer,
        store=store,
        anchors=anchors,
        clock=utc_now,
        new_id=new_uuid,
        known=known,
        scopes=frozenset({SCOPE}),
        dialects=frozenset({"D1", "D2", "D3", "D7"}),
        ports=Ports(
            believes=believes,
            registered=knowing(folder, unlisted("twiin")),
            presentations=verifier,
            policies=POLICIES,
            issuers=tuple(authorities(folder)),
        ),
        profiles={
            "D1": unlisted("nuts-6"),
            "D2": unlisted("twiin"),
            "D3": unlisted("ig-2026"),
            "D7": unlisted("twiin"),
        },
        rate=Rate(overlapping=10**9),
    )


if __name__ == "__main__":
    configure("bench")
    dpop.SKEW = float(SKEW)
    uvloop.run(serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
