"""What cannot be judged is never faked: it is skipped, and the reason says what to give."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from testbench.connection import endpoints as e
from testbench.connection.bench import Bench, Open, https
from testbench.connection.cases import INSERTED, identity, metadata
from testbench.connection.endpoints import Page
from testbench.connection.odd_pki import Wish
from typer.testing import CliRunner

from openldn.base.errors import LdnError
from openldn.base.runtime import utc_now
from openldn.cli import build
from openldn.testbench.connection.examine import report
from openldn.testbench.connection.model import LANGUAGES, Outcome, Result


async def found(open: Open, bench: Bench, check: str) -> Result:
    async with open(bench) as target:
        [row] = (await report(target, utc_now, {check})).rows
    return row.result


def bare(**given: Any) -> Open:
    return https(given=lambda _: given)


@asynccontextmanager
async def by_address(bench: Bench) -> AsyncIterator[Any]:
    async with e.served(bench.tls()) as port:
        yield bench.target(port, host="127.0.0.1")


def elsewhere(**changes: str) -> Open:
    return https(
        pages=lambda o: {INSERTED: Page(metadata(o, **changes))},
        given=lambda o: {"issuer": f"{o}/oauth2/90000001"},
    )


NOT_JUDGED: list[tuple[str, Open, str]] = [
    ("C14", https(lambda b: b.tls(trust=None)), "asks for no client certificate"),
    ("C15", bare(), "--expired-cert"),
    ("C20", bare(), "names no address"),
    ("C21", bare(), "names no address"),
    ("C22", bare(), "--ura or --directory"),
    ("C23", bare(client=None), "--client-cert"),
    ("C24", bare(client=None), "--client-cert"),
    ("C27", bare(), "no pages for a browser"),
    ("C28", bare(), "--issuer"),
    ("C29", bare(), "--issuer"),
    ("C30", https(given=lambda o: {"issuer": o}), "see C28"),
    ("C31", elsewhere(token_endpoint="https://other.test/token"), "another host"),
    ("C32", elsewhere(jwks_uri="https://other.test/jwks"), "another host"),
    ("C33", bare(), "--fhir"),
    ("C34", bare(), "--fhir"),
    ("C35", bare(), "--did"),
    ("C35", bare(did="did:key:z6Mk"), "--did"),
    ("C36", bare(), "--status-list"),
    ("C37", by_address, "an IP address"),
    ("C37", bare(resolver="127.0.0.1:none"), "no name server"),
    ("C38", by_address, "an IP address"),
    ("C40", bare(), "--aorta"),
    ("C41", bare(), "--fsc"),
    ("C42", bare(), "--token"),
]


@pytest.mark.parametrize(
    ("check", "open", "word"), NOT_JUDGED, ids=[f"{c} {w}" for c, _, w in NOT_JUDGED]
)
def test_what_is_not_given_or_does_not_apply_is_skipped_with_the_reason(
    check: str, open: Open, word: str, bench: Bench
) -> None:
    result = asyncio.run(found(open, bench, check))

    assert result.outcome is Outcome.SKIP
    assert word in result.told("en")
    assert all(result.told(language) for language in LANGUAGES)


def test_a_did_document_without_a_presentation_says_that_the_signer_was_not_compared(
    bench: Bench,
) -> None:
    @asynccontextmanager
    async def opened(bench: Bench) -> AsyncIterator[Any]:
        async with identity()(bench) as target:
            yield replace(target, given=replace(target.given, presentation=""))

    result = asyncio.run(found(opened, bench, "C35"))

    assert result.outcome is Outcome.PASS
    assert "not compared" in result.evidence


@pytest.mark.parametrize(
    "show", ["elsewhere", "another-host"], ids=["of a strange issuer", "for another host"]
)
@pytest.mark.parametrize("check", ["C41", "C42"])
def test_a_token_is_never_sent_to_a_server_that_is_not_believed(
    check: str, show: str, bench: Bench
) -> None:
    heard: list[str] = []

    async def listening(request: Request) -> Page:
        heard.extend(request.headers.values())
        return Page(status=401)

    pair = (
        bench.others.leaf("elsewhere")
        if show == "elsewhere"
        else bench.pki.leaf("another-host", Wish(hosts=("other.test",)))
    )
    secrets = {"token": "secret", "fsc_token": "secret", "other": bench.other, "fsc": True}
    open = https(
        lambda b: b.tls(show=pair),
        missing=listening,
        given=lambda o: {"fhir": f"{o}/fhir", **secrets},
    )

    result = asyncio.run(found(open, bench, check))

    assert result.outcome is Outcome.SKIP
    assert "is trusted" in result.told("en")
    assert not any("secret" in value for value in heard)


@pytest.mark.parametrize("content", ["", "two tokens", "a" * 70_000, "é"])
def test_a_file_that_does_not_hold_one_token_is_refused(content: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(content, encoding="utf-8")
    wish = ["check", "connection", "localhost:1", "--private", "--token", str(file)]

    done = CliRunner().invoke(build(("check",)), wish)

    assert isinstance(done.exception, LdnError)
    assert str(file) in done.exception.message
    assert "two tokens" not in done.exception.message


def test_a_key_of_another_certificate_is_named_before_anything_is_sent(bench: Bench) -> None:
    wish = ["check", "connection", "localhost:1", "--private"]
    wish += ["--client-cert", str(bench.client.certificate), "--client-key", str(bench.other.key)]

    done = CliRunner().invoke(build(("check",)), wish)

    assert isinstance(done.exception, LdnError)
    assert "is not the key of" in done.exception.message
