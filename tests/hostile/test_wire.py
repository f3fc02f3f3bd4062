"""Bytes that no honest client sends: answered with a refusal, and never with a crash or a wait."""

import asyncio
import base64
from typing import Any
from urllib.parse import quote

import pytest
import uvicorn
from fhir.api.fhir_base import Base, patient, served

from openldn.base.http import PeerCertificateProtocol, Server, listen

CORNERS_OF_TIME = ("0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59")


def cursor(moment: str) -> str:
    return base64.urlsafe_b64encode(f"{moment}|Patient|p1|1".encode()).decode().rstrip("=")


def test_the_ends_of_time_are_refused(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient())

        for moment in CORNERS_OF_TIME:
            for query in (f"_since={quote(moment)}", f"_page={cursor(moment)}"):
                for path in ("Patient/_history", "Patient/p1/_history", "_history"):
                    assert (await base.get(f"{path}?{query}")).status == 400, (path, query)

    served(dsn, scenario)


@pytest.mark.parametrize("given", ["999911120", "999900006-1", "req-999911120"])
def test_a_bsn_as_request_id_reaches_no_log(
    dsn: str, given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario(base: Base) -> None:
        reply = await base.get("metadata", x_request_id=given)
        kept = await base.get("metadata", x_request_id="0b2d7f4e-1234-4c39-8a42-123456789012")

        assert reply.status == 200
        assert reply.headers["x-request-id"] != given
        assert kept.headers["x-request-id"] == "0b2d7f4e-1234-4c39-8a42-123456789012"

    served(dsn, scenario)

    written = capsys.readouterr()
    assert given not in written.out + written.err


def port_of(base: Base) -> int:
    return int(base.url.rpartition(":")[2].partition("/")[0])


async def answered(port: int, *pieces: bytes) -> bytes:
    """What comes back, until the other side closes; it must close by itself."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b""
    finally:
        writer.close()


def test_headers_without_end_are_cut_off(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        start = b"GET /fhir/metadata HTTP/1.1\r\nHost: a\r\n"
        for endless in ([b"X: ", *[b"a" * 65536] * 200], [b"X-A: b\r\n" * 8000] * 100):
            found = await answered(port_of(base), start, *endless)
            assert b"200 OK" not in found

        assert (await base.get("metadata")).status == 200

    served(dsn, scenario)


class Hasty(PeerCertificateProtocol):
    """The same, with less patience than callers get."""

    patience = 0.2


async def nothing(scope: Any, receive: Any, send: Any) -> None:
    """An application that is never reached."""
    raise AssertionError(scope)


@pytest.mark.parametrize("unfinished", [b"", b"GET / HTTP/1.1\r\nHost: a\r\nX: "])
def test_who_never_finishes_a_request_is_let_go(unfinished: bytes) -> None:
    async def story() -> None:
        config = uvicorn.Config(nothing, http=Hasty, log_config=None, lifespan="off")
        running, entrance = Server(config), listen("127.0.0.1", 0)
        task = asyncio.create_task(running.serve(sockets=[entrance]))

        found = await answered(entrance.getsockname()[1], unfinished)

        running.should_exit = True
        await task
        assert found == b""

    asyncio.run(story())


SMUGGLED = (
    b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x",
    b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
    b"Content-Length: +5\r\n\r\nabcdef",
    b"Content-Length: " + b"9" * 40 + b"\r\n\r\nabcdef",
)


@pytest.mark.parametrize("tail", SMUGGLED)
def test_two_readings_of_a_length_are_no_request(dsn: str, tail: bytes) -> None:
    async def scenario(base: Base) -> None:
        found = await answered(port_of(base), b"POST /fhir/Patient HTTP/1.1\r\nHost: a\r\n" + tail)

        assert found.startswith(b"HTTP/1.1 400")
        assert found.count(b"HTTP/1.1") == 1

    served(dsn, scenario)


def test_a_condition_met_by_many_at_once_creates_one(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        wanted = {k: v for k, v in patient().items() if k != "id"}
        sends = [base.post(wanted, if_none_exist="identifier=999900006") for _ in range(12)]
        replies = [await done for done in asyncio.as_completed(sends)]

        assert sorted(r.status for r in replies) == [200] * 11 + [201]
        assert (await base.get("Patient?identifier=999900006")).json["total"] == 1

    served(dsn, scenario)


def test_of_many_changes_from_one_version_one_wins(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient())
        sends = [
            base.put(patient(birthDate=f"19{n}-01-01"), if_match='W/"1"') for n in range(50, 62)
        ]
        replies = [await done for done in asyncio.as_completed(sends)]

        assert sorted(r.status for r in replies) == [200] + [412] * 11

    served(dsn, scenario)
