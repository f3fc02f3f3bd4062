"""What one party sets in us it never hears again: RFC 6265 is for people's browsers."""

import asyncio

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openldn.base.http import HttpClient, serving


def test_no_party_makes_us_carry_its_cookies() -> None:
    shown: list[str | None] = []

    async def page(request: Request) -> Response:
        shown.append(request.headers.get("cookie"))
        return Response(b"", 200, {"set-cookie": "who=you; Path=/"})

    async def case() -> None:
        async with serving(Starlette(routes=[Route("/", page)]), "127.0.0.1", 0, None) as port:
            client = HttpClient()
            for _ in range(2):
                await client.send("GET", f"http://localhost:{port}/", deadline=5)
            await client.close()

    asyncio.run(case())
    assert shown == [None, None]
