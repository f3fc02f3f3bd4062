"""Settings: one TOML file into frozen structs; unknown keys and bad values are errors."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from openldn.base.errors import Issue, LdnError


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base of every room's settings; a field without a default must be given."""


S = TypeVar("S", bound=Settings)


def environment() -> Mapping[str, str]:
    """The environment; the one place that reads it."""
    return os.environ


def load(path: Path, kind: type[S], environ: Mapping[str, str]) -> S:
    """The settings in the TOML file at `path`, each key replaceable by `OPENLDN_<TABLE>_<KEY>`.

    Raises LdnError(invalid) that names the file, the key and what was expected.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        reason = error.strerror or "unreadable"
        raise LdnError(Issue.INVALID, f"settings file {path}: {reason}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise LdnError(Issue.INVALID, f"settings file {path} is not TOML: {error}") from error
    return check(_overridden(data, environ), kind, str(path))


def check(data: Mapping[str, object], kind: type[S], origin: str) -> S:
    """`data` as settings of this kind; raises LdnError(invalid) that names the key."""
    try:
        return msgspec.convert(data, kind, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise LdnError(Issue.INVALID, f"settings in {origin}: {error}") from error


def _path(kind: type[object], value: object) -> object:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError(f"expected {'a path' if kind is Path else kind.__name__}")


def _overridden(data: dict[str, object], environ: Mapping[str, str]) -> dict[str, object]:
    result = dict(data)
    for table, content in data.items():
        if isinstance(content, dict):
            keys = {k: environ.get(f"OPENLDN_{table}_{k}".upper()) for k in content}
            result[table] = content | {k: v for k, v in keys.items() if v is not None}
        elif (value := environ.get(f"OPENLDN_{table}".upper())) is not None:
            result[table] = value
    return result
