"""A test authority on the network: its lists (CRL) and its responder (OCSP), over plain HTTP.

Plain, because who checks a certificate cannot first need another. Source: RFC 5280 §4.2.1.13;
RFC 6960 appendix A.
"""

import base64
import binascii
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import Clock, utc_now
from openldn.fhir.http import read_body
from openldn.trust.certificates.revoking import Revoking

_LARGEST = 16 * 1024  # bytes of a question
_AGAIN = timedelta(seconds=10)  # a list is made anew when it is older, or the book changed


@dataclass
class _Lists:
    """The list of the issuing authority, made anew when the book changed."""

    revoking: Revoking
    _made: tuple[int, datetime, bytes] | None = field(default=None, repr=False)

    def current(self) -> bytes:
        book, now = self._stamp(), self.revoking.clock()
        if self._made is None or self._made[0] != book or now - self._made[1] >= _AGAIN:
            self._made = (book, now, self.revoking.crl())
        return self._made[2]

    def _stamp(self) -> int:
        try:
            return (self.revoking.folder / "revoked.json").stat().st_mtime_ns
        except OSError:
            return 0


def routes(folder: Path, clock: Clock = utc_now) -> list[Route]:
    """The routes of the authority in `folder`: `/crl/issuing.crl`, `/crl/root.crl` and `/ocsp`."""
    lists = _Lists(Revoking(folder, clock))

    async def crl(request: Request) -> Response:
        """GET /crl/{name}.crl: the list of the issuing authority, or that of the root."""
        name = request.path_params["name"]
        if name not in {"issuing", "root"}:
            raise LdnError(Issue.NOT_FOUND, "no such list")
        content = lists.current() if name == "issuing" else _root(folder)
        return Response(content, media_type="application/pkix-crl")

    async def asked(request: Request) -> Response:
        """POST /ocsp, or GET /ocsp/{base64}: whether one certificate is revoked."""
        if request.method == "POST":
            question = await read_body(request, _LARGEST)
        else:
            question = _unquoted(request.path_params["question"])
        answer = lists.revoking.answer(question)
        return Response(answer, media_type="application/ocsp-response")

    return [
        Route("/crl/{name}.crl", crl, methods=["GET"]),
        Route("/ocsp", asked, methods=["POST"]),
        Route("/ocsp/{question:path}", asked, methods=["GET"]),
    ]


def _root(folder: Path) -> bytes:
    try:
        return (folder / "root.crl").read_bytes()
    except OSError as error:
        raise LdnError(Issue.NOT_FOUND, "this authority has no list of its root") from error


def _unquoted(text: str) -> bytes:
    try:
        return base64.b64decode(unquote(text), validate=True)[:_LARGEST]
    except (binascii.Error, ValueError):
        return b""
