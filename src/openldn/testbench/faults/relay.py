"""Passes TCP on, byte by byte, so that an address of one namespace can be used in another."""

import asyncio
import threading
from collections.abc import Mapping
from contextlib import suppress

Place = tuple[str, int]  # host, port
_PIECE = 64 * 1024


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(_PIECE):
            writer.write(piece)
            await writer.drain()
    with suppress(OSError):
        writer.close()
        await writer.wait_closed()


async def _connect(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: Place
) -> None:
    try:
        onward, back = await asyncio.open_connection(*place)
    except OSError:
        writer.close()
        return
    await asyncio.gather(_pass_on(reader, back), _pass_on(onward, writer))


async def _relay(routes: Mapping[Place, Place], ready: threading.Event) -> None:
    for place, onward in routes.items():

        async def passed(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter, to: Place = onward
        ) -> None:
            await _connect(reader, writer, to)

        await asyncio.start_server(passed, *place)
    ready.set()
    await asyncio.Event().wait()


def relay(routes: Mapping[Place, Place], ready: threading.Event) -> None:
    """Pass on from each place to the other until the process ends; for a thread of its own."""
    asyncio.run(_relay(routes, ready))
