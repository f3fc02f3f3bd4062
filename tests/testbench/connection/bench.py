"""The certificates and targets that the tests of the checks share."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from testbench.connection.endpoints import Answer, Tls, free_port, served, site
from testbench.connection.odd_pki import OddPki, Wish

from openldn.testbench.connection.target import Given, Target
from openldn.trust.certificates.tls_profiles import tls_profile

STRONG = "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-GCM-SHA384"
PROFILE = "twiin-1.4"


class Bench:
    """Two authorities and some leaves of the first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pki = OddPki(folder / "pki")
        self.others = OddPki(folder / "others", "TEST Others")
        self.server = self.pki.leaf("server")
        self.client = self.pki.leaf("client")
        self.other = self.pki.leaf("other")

    def tls(self, **changes: Any) -> Tls:
        """A server as it should be, but for these changes."""
        usual = {"show": self.server, "trust": self.pki.ca, "ciphers": STRONG}
        return Tls(**{**usual, **changes})

    def leaf(self, stem: str, *, alone: bool = False, **wish: Any) -> Tls:
        """A good server with a leaf of this make."""
        return self.tls(show=self.pki.leaf(stem, Wish(**wish), alone=alone))

    def target(self, port: int, **given: Any) -> Target:
        """The endpoint at this port of localhost; `host` and `profile` may be other ones."""
        host, profile = given.pop("host", "localhost"), given.pop("profile", PROFILE)
        usual = {"private": True, "client": self.client, "ca": self.pki.ca}
        return Target(host, port, tls_profile(profile), Given(**{**usual, **given}))


Opening = AbstractAsyncContextManager[Target]
Open = Callable[[Bench], Opening]
Pages = Callable[[str], Mapping[str, Answer]]  # the origin -> what stands there


def https(
    how: Callable[[Bench], Tls] = lambda bench: bench.tls(),
    pages: Pages = lambda _: {},
    given: Callable[[str], Mapping[str, Any]] = lambda _: {},
    missing: Answer | None = None,
) -> Open:
    """An HTTPS server; what it serves and what is given may name its origin."""

    @asynccontextmanager
    async def opened(bench: Bench) -> AsyncIterator[Target]:
        port = free_port()
        origin = f"https://localhost:{port}"
        app = site(pages(origin), *([missing] if missing else []))
        async with served(how(bench), app, port=port):
            yield bench.target(port, **given(origin))

    return opened


def at(endpoint: Callable[[Bench], AbstractAsyncContextManager[int]], **given: Any) -> Open:
    """An endpoint that is not a web server."""

    @asynccontextmanager
    async def opened(bench: Bench) -> AsyncIterator[Target]:
        async with endpoint(bench) as port:
            yield bench.target(port, **given)

    return opened
