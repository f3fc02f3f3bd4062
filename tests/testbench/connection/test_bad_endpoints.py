"""What is no endpoint, or breaks in the middle, always gives a clear outcome, and in time."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st
from testbench.connection import endpoints as e
from testbench.connection.bench import Bench, https
from testbench.connection.cases import never

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import utc_now
from openldn.testbench.connection import addresses
from openldn.testbench.connection import hello as tls
from openldn.testbench.connection.checks import CHECKS
from openldn.testbench.connection.examine import _looked, examine, report, visiting
from openldn.testbench.connection.handshake import Flight
from openldn.testbench.connection.model import Outcome, Report
from openldn.testbench.connection.numbers import GROUPS, SUITES_1_3
from openldn.testbench.connection.prober import Prober
from openldn.testbench.connection.target import Given, Target
from openldn.testbench.connection.visit import Visit
from openldn.trust.certificates.tls_profiles import tls_profile

Endpoint = AbstractAsyncContextManager[int]
LIMIT = 15.0  # seconds: where tests run much else may; benchmarks measure the 5 that are asked
USUAL = (GROUPS["X25519"],)


async def refusal(target: Target) -> LdnError:
    with pytest.raises(LdnError) as caught:
        await report(target, utc_now)
    return caught.value


def http() -> Endpoint:
    return e.raw(lambda _: b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")


@pytest.mark.parametrize(
    ("endpoint", "word"),
    [
        (http, "speaks plain HTTP, not TLS"),
        (lambda: e.raw(lambda _: b"SSH-2.0-OpenSSH_9.2\r\n"), "does not speak TLS"),
        (lambda: e.raw(lambda _: bytes(64)), "does not speak TLS"),
        (lambda: e.streaming(b"\xff" * 4096), "does not speak TLS"),
        (lambda: e.streaming(b"\x16\x03\x03\xff\xff" * 1000), "does not speak TLS"),
        (lambda: e.raw(lambda _: tls.record(23, b"x")), "does not speak TLS"),
        (lambda: e.raw(lambda _: tls.record(22, b"\x02\xff\xff\xff")), "does not speak TLS"),
        (e.silent, "does not answer TLS"),
    ],
    ids=["http", "ssh", "zeros", "garbage", "large records", "data first", "huge hello", "silence"],
)
def test_what_is_no_tls_is_told_in_one_line(
    endpoint: Callable[[], Endpoint], word: str, bench: Bench
) -> None:
    async def asked() -> LdnError:
        async with endpoint() as port:
            return await refusal(bench.target(port))

    began = time.monotonic()
    error = asyncio.run(asked())

    assert word in error.message
    assert "\n" not in error.message
    assert time.monotonic() - began < LIMIT


def test_a_closed_port_is_told(bench: Bench) -> None:
    error = asyncio.run(refusal(bench.target(e.free_port())))

    assert "is closed" in error.message


def test_an_unknown_host_is_told(bench: Bench) -> None:
    async def asked() -> LdnError:
        async with e.names({}, signed=False) as port:
            given = {"host": "absent.ldn.test", "resolver": f"127.0.0.1:{port}"}
            return await refusal(bench.target(443, **given))

    error = asyncio.run(asked())

    assert error.issue is Issue.NOT_FOUND
    assert "absent.ldn.test" in error.message


def test_a_host_that_is_not_public_is_not_called_without_leave() -> None:
    target = Target("127.0.0.1", 8443, tls_profile(), Given())

    error = asyncio.run(refusal(target))

    assert error.issue is Issue.FORBIDDEN
    assert "--private" in error.message


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest", "http://[::1]/", "http://10.0.0.1"]
)
def test_an_address_that_a_certificate_names_does_not_lead_into_a_private_network(url: str) -> None:
    async def asked() -> None:
        await addresses.require(url, Given())

    with pytest.raises(LdnError) as caught:
        asyncio.run(asked())
    assert caught.value.issue is Issue.FORBIDDEN


async def outcomes(endpoint: Endpoint, bench: Bench) -> Report:
    async with endpoint as port:
        return await report(bench.target(port), utc_now)


def once_then(first: bytes, later: bytes) -> Endpoint:
    count = iter(range(1_000_000))
    return e.raw(lambda _: later if next(count) else first)


HELLO = tls.record(
    22,
    tls.message(
        2, b"\x03\x03" + tls.RETRY + b"\0\x13\x02\0\0\x0c\0\x2b\0\x02\x03\x04\0\x33\0\x02\0\x1d"
    ),
)


@pytest.mark.parametrize(
    "later",
    [b"", b"\xff" * 100, tls.record(22, b"\x02\0\0\x01\0"), e.REFUSES, HELLO],
    ids=["nothing", "garbage", "a broken hello", "an alert", "a retry without end"],
)
def test_an_endpoint_that_breaks_after_its_first_answer_is_reported_whole(
    later: bytes, bench: Bench
) -> None:
    began = time.monotonic()
    found = asyncio.run(outcomes(once_then(HELLO, later), bench))

    assert len(found.rows) == 45
    assert all(row.result.outcome in set(Outcome) for row in found.rows)
    assert all(row.result.told("nl") and row.result.told("en") for row in found.rows)
    assert time.monotonic() - began < LIMIT


def test_an_endpoint_that_goes_away_is_not_taken_for_one_that_refuses(bench: Bench) -> None:
    async def asked() -> list[Outcome]:
        async with e.retrying(tuple(SUITES_1_3.values()), USUAL) as port:
            target = bench.target(port)
            reached = visiting(target, utc_now)
            visit = await reached.__aenter__()
        found = [row.result.outcome async for row in examine(visit, {"C02", "C03", "C07"})]
        await reached.__aexit__(None, None, None)
        return found

    assert asyncio.run(asked()) == [Outcome.SKIP] * 3


def test_what_an_endpoint_says_cannot_steer_a_terminal(bench: Bench) -> None:
    async def asked() -> list[str]:
        harmful = bench.pki.leaf("\x1b[2J\u202eterminal", file="harmful", alone=True)
        async with e.served(bench.tls(show=harmful)) as port:
            found = await report(bench.target(port), utc_now, {"C17"})
        return [row.result.evidence for row in found.rows]

    [evidence] = asyncio.run(asked())

    assert "terminal" in evidence
    assert evidence.isprintable()


def test_a_server_that_refuses_everyone_does_not_pass_for_one_that_refuses_strangers(
    bench: Bench,
) -> None:
    async def asked() -> list[Outcome]:
        async with e.served(bench.tls(trust=bench.others.ca)) as port:
            found = await report(bench.target(port), utc_now, {"C13", "C14"})
        return [row.result.outcome for row in found.rows]

    assert asyncio.run(asked()) == [Outcome.SKIP] * 2


def test_an_endpoint_that_never_answers_a_request_is_done_in_time_all_the_same(
    bench: Bench,
) -> None:
    async def asked() -> Report:
        silent = https(missing=never, given=lambda o: {"issuer": o, "fhir": f"{o}/fhir"})
        async with silent(bench) as target:
            return await report(target, utc_now)

    found = asyncio.run(asked())

    assert len(found.rows) == 45
    assert found.seconds < LIMIT


def test_a_whole_check_takes_seconds_and_few_connections(bench: Bench) -> None:
    async def asked() -> Report:
        async with https()(bench) as target:
            return await report(target, utc_now)

    found = asyncio.run(asked())

    assert len(found.rows) == 45
    assert found.seconds < LIMIT
    assert found.connections < 80


def _read(content: bytes) -> None:
    tls.server_hello(content)


def _fed(content: bytes) -> None:
    tls.Messages().feed(content)


def _extensions(content: bytes) -> None:
    tls.extensions_of(content)


@pytest.mark.parametrize("read", [_read, _fed, _extensions])
@given(content=st.binary(max_size=300))
def test_no_bytes_make_the_reader_fail_in_another_way(
    read: Callable[[bytes], None], content: bytes
) -> None:
    try:
        read(content)
    except tls.NotTlsError:
        pass


def _odd(bench: Bench, old: bytes, new: bytes) -> bytes:
    """The certificate of a server with these bytes in place of those."""
    [leaf, *_] = x509.load_pem_x509_certificates(bench.server.certificate.read_bytes())
    der = leaf.public_bytes(Encoding.DER)
    assert old in der
    return der.replace(old, new)


CURVE, OTHER_CURVE = bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d03017f")
VERSION, OTHER_VERSION = bytes.fromhex("a003020102"), bytes.fromhex("a00302010b")


@pytest.mark.parametrize(
    ("old", "new"),
    [(CURVE, OTHER_CURVE), (VERSION, OTHER_VERSION), (b"\x55\x1d\x0f", b"\x55\x1d\x11")],
    ids=["unknown curve", "version 12", "an extension twice"],
)
def test_a_certificate_that_cannot_be_read_does_not_end_the_check(
    bench: Bench, old: bytes, new: bytes
) -> None:
    async def looked() -> set[Outcome]:
        visit = Visit(bench.target(1), Prober("127.0.0.1", 1), utc_now)
        hello = tls.ServerHello(0x0304, 0, 0, b"", {})
        flight: asyncio.Future[Flight] = asyncio.get_running_loop().create_future()
        flight.set_result(Flight(hello, (_odd(bench, old, new),)))
        visit._facts["newest"] = flight  # type: ignore[assignment]
        own = {"C10", "C11", "C17", "C18", "C19", "C20", "C21", "C22"}
        return {(await _looked(c, visit, 2.0)).outcome for c in CHECKS if c.id in own}

    assert asyncio.run(looked()) <= {Outcome.SKIP, Outcome.FAIL, Outcome.PASS, Outcome.WARN}


def test_the_pace_keeps_connections_apart_and_few(bench: Bench) -> None:
    async def asked() -> tuple[int, int]:
        most = now = 0
        going = asyncio.Event()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal most, now
            now += 1
            most = max(most, now)
            await reader.read(4096)
            going.set()
            writer.write(e.REFUSES)
            await writer.drain()
            now -= 1
            writer.close()

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server:
            found = await report(bench.target(server.sockets[0].getsockname()[1]), utc_now)
        return most, found.connections

    most, made = asyncio.run(asked())

    assert most <= 8
    assert made < 80
