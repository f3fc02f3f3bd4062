"""Credentials on HTTP: DID documents and status lists for everyone, the wallet for its owner."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import instant
from openldn.fhir.http import read_json
from openldn.trust.certificates.keys import Signing
from openldn.trust.credentials.did import parse
from openldn.trust.credentials.issue import HolderKey
from openldn.trust.credentials.keeping import document
from openldn.trust.credentials.published import PublishedLists
from openldn.trust.credentials.store import Held
from openldn.trust.credentials.wallet import OWN, NodeWallet

Guard = Callable[[Request], None]  # lets the owner's own applications pass; raises LdnError
_PUBLIC = {"cache-control": "public, max-age=60"}
_MOST_PAGES = 10_000


def did_routes(keys: Sequence[HolderKey]) -> list[BaseRoute]:
    """The documents of these DIDs, each at its own address (GFI-001)."""
    documents: dict[str, dict[str, Any]] = {}
    for key in keys:
        same = [k for k in keys if k.did == key.did]
        documents[urlsplit(parse(key.did).address).path] = document(same)
    return [
        Route(path, _documented(content), methods=["GET"]) for path, content in documents.items()
    ]


def _documented(content: Mapping[str, Any]) -> Callable[[Request], Any]:
    async def did(request: Request) -> Response:
        return JSONResponse(content, headers=_PUBLIC, media_type="application/did+json")

    return did


def status_routes(lists: PublishedLists) -> list[BaseRoute]:
    """The pages of the status lists of one organization (GFI-003)."""

    async def status_list(request: Request) -> Response:
        """GET: a page as a signed credential."""
        number = request.path_params["page"]
        if number > _MOST_PAGES:
            raise LdnError(Issue.NOT_FOUND, "there is no such page of the status list")
        return Response(await lists.page(number), headers=_PUBLIC, media_type="application/jwt")

    path = urlsplit(lists.base).path + "/{page:int}"
    return [Route(path, status_list, methods=["GET"])]


def wallet_routes(
    wallet: NodeWallet, signing: Callable[[], Signing], guard: Guard
) -> list[BaseRoute]:
    """The wallet, for the organization's own applications.

    `signing` gives the certificate in use now, with its chain up to the root.
    """

    async def held(request: Request) -> Response:
        """GET: what is in the wallet; nothing secret."""
        guard(request)
        return JSONResponse({"did": wallet.key.did, "credentials": _shown(await wallet.held())})

    async def load(request: Request) -> Response:
        """POST {"credential": JWT}: keep it once it is believed."""
        guard(request)
        encoded = (await read_json(request)).get("credential")
        if not isinstance(encoded, str):
            raise LdnError(Issue.INVALID, 'send {"credential": "<JWT>"}')
        return JSONResponse({"credentials": _shown([await wallet.load(encoded)])}, 201)

    async def renew(request: Request) -> Response:
        """POST {"kinds": […], "all": bool}: make anew what our certificate says of us."""
        guard(request)
        body = await read_json(request)
        kinds = body.get("kinds", list(OWN[:1]))
        if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
            raise LdnError(Issue.INVALID, "kinds is a list of names")
        made = await wallet.renew(signing(), kinds, all_=body.get("all") is True)
        return JSONResponse({"credentials": _shown(made)})

    async def delete(request: Request) -> Response:
        """DELETE {"id": …}: take one out. The id is a URL of its own, hence not in the address."""
        guard(request)
        await wallet.delete(str((await read_json(request)).get("id", "")))
        return Response(status_code=204)

    return [
        Route("/api/wallet", held, methods=["GET"]),
        Route("/api/wallet", load, methods=["POST"]),
        Route("/api/wallet", delete, methods=["DELETE"]),
        Route("/api/wallet/$renew", renew, methods=["POST"]),
    ]


def _shown(held: Sequence[Held]) -> list[dict[str, Any]]:
    return [
        {
            "id": each.id,
            "type": each.kind,
            "issuer": each.issuer,
            "subject": each.subject,
            "issued": instant(each.issued),
            "expires": instant(each.expires) if each.expires else None,
        }
        for each in held
    ]
