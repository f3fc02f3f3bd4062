"""`openldn pseudonyms`: check values (P05), and secrets of an earlier service (V4)."""

import asyncio
from pathlib import Path

import pytest
from conftest import Databases
from functions.pseudonym_cases import INDEX, INDEX_OIN, SECRET
from typer.testing import CliRunner

from openldn.app.pseudonyms import PseudonymsSettings, open_evaluations
from openldn.base.errors import LdnError
from openldn.base.settings import load
from openldn.base.sql import open_pool
from openldn.cli import build
from openldn.functions.pseudonyms import oprf
from openldn.functions.pseudonyms.model import target


def typed(*words: str) -> str:
    found = CliRunner().invoke(build(("pseudonyms",)), ["pseudonyms", *words])
    if isinstance(found.exception, LdnError):
        raise found.exception
    assert found.exit_code == 0, found.output
    return found.output


def test_p05_the_recipient_tells_the_check_value_that_clients_compare() -> None:
    written = typed("check", "--recipient", f"oin:{INDEX_OIN}")

    value, info, kind = written.split()
    assert value == oprf.check_value(target(f"oin:{INDEX_OIN}"))
    assert (info, kind) == (f"oin:{INDEX_OIN}|nvi|v1", "BSN")
    assert len(value) == 12
    assert value != typed("check", "--recipient", f"oin:{INDEX_OIN}", "--kind", "bsn").split()[0]


def test_a_secret_of_an_earlier_service_is_taken_over_once(
    databases: Databases, tmp_path: Path
) -> None:
    settings = tmp_path / "pseudonyms.toml"
    paths = {name: tmp_path / name for name in ("certificate", "key_file", "ca", "secret_key")}
    lines = [f'{k} = "{v}"' for k, v in paths.items()]
    lines += [f'dsn = "{asyncio.run(databases.fresh())}"', 'public = "https://prs.example"']
    settings.write_text("\n".join(lines))
    secret = tmp_path / "secret"
    secret.write_text(oprf.encoded(SECRET) + "\n")
    words = ("adopt", "--settings", str(settings), "--ura", str(INDEX), "--scope", "nvi")

    written = typed(*words, "--secret", str(secret))

    assert oprf.encoded(SECRET) not in written
    assert asyncio.run(_held(settings)) == [SECRET]
    with pytest.raises(LdnError):
        typed(*words, "--secret", str(secret))
    secret.write_text("nothing of the kind")
    with pytest.raises(LdnError):
        typed(*words, "--secret", str(secret), "--version", "2")
    secret.write_text(oprf.encoded(bytes(32)))
    with pytest.raises(LdnError):
        typed(*words, "--secret", str(secret), "--version", "2")


async def _held(settings: Path) -> list[bytes]:
    values = load(settings, PseudonymsSettings, {})
    pool = await open_pool(values.dsn)
    try:
        registry = (await open_evaluations(values, pool)).registry
        return [registry.vault.open(v) for v in await registry.versions(INDEX)]
    finally:
        await pool.close()


def test_a_recipient_that_is_none_is_refused() -> None:
    with pytest.raises(LdnError):
        typed("check", "--recipient", "somebody")
