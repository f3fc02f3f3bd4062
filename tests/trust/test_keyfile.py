"""Secrets in files: made once, whole, for their owner only; of many makers one wins."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from openldn.base.errors import Issue, LdnError
from openldn.trust import keyfile


def test_a_secret_is_made_once_and_readable_to_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "audit.key"

    first = keyfile.secret(path, "the audit log")

    assert len(first) == keyfile.SIZE and keyfile.secret(path, "the audit log") == first
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["audit.key"]


def test_of_many_that_make_it_at_once_all_read_the_same(tmp_path: Path) -> None:
    path = tmp_path / "index.key"
    with ThreadPoolExecutor(16) as pool:
        found = set(pool.map(lambda _: keyfile.secret(path, "the index"), range(64)))

    assert len(found) == 1


def test_a_damaged_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "audit.key"
    path.write_bytes(b"short")

    with pytest.raises(LdnError, match=r"the audit log.*damaged") as refused:
        keyfile.secret(path, "the audit log")

    assert refused.value.issue is Issue.EXCEPTION
    assert path.read_bytes() == b"short"


def test_a_folder_that_is_missing_is_told_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(LdnError, match="cannot be used"):
        keyfile.secret(tmp_path / "not-mounted" / "audit.key", "the audit log")

    assert not (tmp_path / "not-mounted").exists()
