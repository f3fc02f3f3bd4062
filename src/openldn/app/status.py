"""How a role went lately, told to its own operator at `/status`, and to nobody else."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from openldn.base.errors import Issue, LdnError
from openldn.base.http import Identity, peer_certificate
from openldn.base.runtime import utc_now
from openldn.fhir.http import Rim, respond_json
from openldn.fhir.observed import Observed
from openldn.functions.authentication.party import party_on

STATUS = "/status"
Tells = Callable[[], Awaitable[Mapping[str, Any]]]  # JSON


def watched(
    app: Rim, role: str, identity: Identity, more: Mapping[str, Tells] | None = None
) -> Rim:
    """The application with a memory of how it went, and `more` to tell, by path.

    Whoever shows a certificate of the same organization as the role itself may read it.
    Raises LdnError(exception) when the role's own certificate cannot be read.
    """
    observed = Observed(role, utc_now)
    own = party_on(certificate_of(identity), utc_now()).id

    async def lately() -> Mapping[str, Any]:
        return observed.told()

    table = {STATUS: lately, **(more or {})}

    async def status(request: Request, receive: Receive, send: Send) -> None:
        if party_on(peer_certificate(request.scope), utc_now()).id != own:
            text = "this is for the operator of this function only"
            raise LdnError(Issue.FORBIDDEN, text, detail="status.operator")
        told = await table[request.scope["path"]]()
        await respond_json(told)(request.scope, receive, send)

    def around(inner: ASGIApp) -> ASGIApp:
        async def found(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"] in table and scope["method"] == "GET":
                scope["endpoint"] = status  # what the log calls the route
                await status(Request(scope, receive), receive, send)
                return
            await inner(scope, receive, send)

        return found

    return replace(app, inner=around(app.inner)).watched(observed)


def certificate_of(identity: Identity) -> bytes:
    """The certificate (DER) that a role shows; raises LdnError(exception) when it is not there."""
    try:
        leaf = x509.load_pem_x509_certificate(identity.certificate.read_bytes())
    except (OSError, ValueError) as error:
        text = f"the certificate {identity.certificate} cannot be read"
        raise LdnError(Issue.EXCEPTION, text) from error
    return leaf.public_bytes(Encoding.DER)
