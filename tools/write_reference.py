"""Write the reference pages that repeat the code: commands, settings, events, issues, checks.

`python tools/write_reference.py` writes them; the docs tests compare.
"""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import typer
from dialects_page import text as dialects_page
from peers_page import text as peers_page
from reconciliation_page import text as reconciliation_page
from transformation_page import text as transformation_page
from typer.main import get_command

from openldn.app import ROLES, role_of
from openldn.base.errors import STATUS, Issue
from openldn.base.log import CATALOGUE
from openldn.base.settings import Settings
from openldn.cli import COMMANDS, build
from openldn.testbench.connection.checks import CHECKS, GROUPS
from openldn.testbench.connection.render import words
from openldn.trust.certificates.tls_profiles import TlsProfile, tls_profiles

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "reference"
_COMMENT = re.compile(r"^\s+(\w+): ([^=#]+?)\s*(?:= (.*?))?\s*(?:#\s*(.*))?$")
_MORE = re.compile(r"^\s+#\s*(.*)$")

MEANINGS = {
    Issue.INVALID: "the request cannot be understood: a value is wrong",
    Issue.STRUCTURE: "the body is not well-formed, or not FHIR",
    Issue.LOGIN: "no certificate or token that counts",
    Issue.SECURITY: "against what protects the data: of another organization, or used twice",
    Issue.FORBIDDEN: "known, but not allowed; every reason is told",
    Issue.NOT_FOUND: "nothing there",
    Issue.NOT_SUPPORTED: "a method, format (406, 415) or interaction we do not offer",
    Issue.CONFLICT: "it clashes with what is there; with If-Match the status is 412",
    Issue.DELETED: "it was there and is deleted",
    Issue.MULTIPLE_MATCHES: "a condition that should find one finds several",
    Issue.TOO_LONG: "larger than we accept",
    Issue.BUSINESS_RULE: "well-formed, but against a rule",
    Issue.THROTTLED: "too many at once; try again after Retry-After",
    Issue.INCOMPLETE: "another party could not be reached or answered nonsense",
    Issue.TRANSIENT: "a part of ours is away; try again in a moment",
    Issue.TIMEOUT: "no answer in time",
    Issue.EXCEPTION: "a fault of ours; report the correlation id",
}


PLAIN = {  # settings that are the same in every role, and need no comment in its code
    "key_file": "its private key",
    "signing_key": "its private key",
    "host": "address to listen at",
    "port": "port to listen at",
}


def pages() -> dict[str, str]:
    """File name -> text, of every page that repeats the code."""
    return {
        "commands.md": "\n".join(_commands()) + "\n",
        "connection-checks.md": "\n".join(_checks()) + "\n",
        "settings.md": "\n".join(_settings()) + "\n",
        "events.md": "\n".join(_events()) + "\n",
        "issues.md": "\n".join(_issues()) + "\n",
        "dialects.md": dialects_page(),
        "peers.md": peers_page(),
        "reconciliation.md": reconciliation_page(),
        "transformation.md": transformation_page(),
    }


def _commands() -> Iterator[str]:
    yield "# Commands\n"
    yield "What `openldn` can do; each command also tells this with `--help`."
    group: Any = get_command(build())
    for name in COMMANDS:
        command = group.commands[name]
        below = getattr(command, "commands", None)
        if below is None:
            yield from _command(f"## openldn {name}", command)
            continue
        yield f"\n## openldn {name}\n\n{inspect.cleandoc(command.help or '')}"
        for word, subcommand in below.items():
            yield from _command(f"### openldn {name} {word}", subcommand)


def _command(heading: str, command: Any) -> Iterator[str]:
    yield f"\n{heading}\n\n{inspect.cleandoc(command.help or '')}\n"
    yield "| option | what | default |\n|---|---|---|"
    for parameter in command.params:
        yield _row(parameter)


def _row(parameter: Any) -> str:
    names = ", ".join(f"`{o}`" for o in getattr(parameter, "opts", [parameter.name]))
    shown = parameter.default
    if parameter.required:
        default = "required"
    elif shown in (None, "", False) or callable(shown) or shown == ():
        default = ""
    else:
        default = f"`{shown}`"
    text = (getattr(parameter, "help", "") or "").replace("\n", " ")
    return f"| {names} | {text} | {default} |"


def _settings() -> Iterator[str]:
    yield "# Settings\n"
    yield (
        "Each role reads one TOML file, `openldn run ROLE --settings FILE`. A key that is not\n"
        "known is an error. `OPENLDN_` and the key in capitals, in the environment, replaces a\n"
        "key that the file has: `OPENLDN_DSN` for `dsn`, `OPENLDN_PEOPLE_REQUIRED` for `required`\n"
        "in the table `[people]`. Paths are those of files; a secret is never a value."
    )
    for name in ROLES:
        settings = role_of(name).settings
        yield f"\n## {name}\n"
        yield from _table(settings)
        yield from _below(name, settings, "")


def _below(name: str, settings: type[Settings], above: str) -> Iterator[str]:
    """The tables inside these settings, and those inside them."""
    for field in msgspec.structs.fields(settings):
        if (inner := _inner(field.type)) is not None:
            yield f"\n### {name}: `[{above}{field.name}]`\n"
            yield f"{inspect.cleandoc(inner.__doc__ or '').splitlines()[0]}\n"
            yield from _table(inner)
            yield from _below(name, inner, f"{above}{field.name}.")


def _table(kind: type[Settings]) -> Iterator[str]:
    yield "| key | default | what |\n|---|---|---|"
    notes = _notes(kind)
    for field in msgspec.structs.fields(kind):
        what = notes.get(field.name) or PLAIN.get(field.name, "")
        if _inner(field.type) is not None:
            what = f"{what}; a table, below" if what else "a table, below"
        yield f"| `{field.name}` | {_default(field)} | {what} |"


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    made = field.default_factory is not msgspec.NODEFAULT
    return f"`{field.default_factory() if made else field.default!r}`"


def _inner(kind: Any) -> type[Settings] | None:
    """The settings that a key of this type holds as a table of its own."""
    kinds = [k for k in (kind, *get_args(kind)) if isinstance(k, type) and issubclass(k, Settings)]
    return kinds[0] if kinds else None


def _notes(kind: type) -> dict[str, str]:
    """The comment behind each field in the source; those that go on below are joined."""
    notes: dict[str, str] = {}
    for parent in reversed(kind.__mro__):
        if parent is not Settings and issubclass(parent, Settings):
            notes |= _notes_in(inspect.getsource(parent))
    return notes


def _notes_in(source: str) -> dict[str, str]:
    notes: dict[str, str] = {}
    last = ""
    for line in source.splitlines():
        if found := _COMMENT.match(line):
            last = found.group(1)
            notes[last] = found.group(4) or ""
        elif last and (more := _MORE.match(line)):
            notes[last] += f" {more.group(1)}"
        else:
            last = ""
    return notes


def _events() -> Iterator[str]:
    yield "# Events in the log\n"
    yield (
        "The technical log is lines of JSON on standard error. Only these events, with only\n"
        "these fields; never a BSN, name, token or resource."
    )
    for event in CATALOGUE.values():
        fields = ", ".join(f"`{f}`" for f in sorted(event.fields))
        meaning = f"{event.meaning[0].upper()}{event.meaning[1:]}"
        if not event.streams:
            yield f"\n## {event.name}\n\n{meaning}. Fields: {fields}."
            continue
        yield f"\n## {event.name}\n\n{meaning}. Written once to each stream:\n"
        for stream, allowed in event.streams.items():
            yield f"- {stream}: " + ", ".join(f"`{f}`" for f in sorted(allowed))


def _issues() -> Iterator[str]:
    yield "# Issue codes\n"
    yield (
        "What a refusal or failure is called in an OperationOutcome (`issue.code`), with its\n"
        "usual HTTP status."
    )
    for issue in Issue:
        yield f"\n## {issue}\n\nStatus {STATUS[issue]}: {MEANINGS[issue]}."


def _checks() -> Iterator[str]:
    yield "# Connection checks\n"
    yield (
        "What `openldn check connection` looks at, by group; how to read its report stands in\n"
        "[secure network](../operate/secure-network.md)."
    )
    for group in GROUPS:
        yield f"\n## {words('en')['groups'][group]}\n"
        yield "| check | requirement | source | what to do |\n|---|---|---|---|"
        for check in (c for c in CHECKS if c.group == group):
            texts = (check.title.en, check.requirement.en, check.source, check.advice.en)
            title, *rest = (t.replace("|", "\\|") for t in texts)
            yield f"| {check.id} {title} | {' | '.join(rest)} |"
    yield "\n## Profiles\n"
    yield "How a shortcoming counts under each TLS profile; what is not named fails.\n"
    yield "| profile | from | warning | for information |\n|---|---|---|---|"
    for profile in tls_profiles().values():
        kinds = (_weighed(profile, "warn"), _weighed(profile, "info"))
        yield f"| `{profile.name}` | {profile.source} | {' | '.join(kinds)} |"


def _weighed(profile: TlsProfile, weight: str) -> str:
    return ", ".join(sorted(c for c, w in profile.severity.items() if w == weight))


def main() -> None:
    """Write every page."""
    for name, text in pages().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
        typer.echo(f"wrote {FOLDER / name}")


if __name__ == "__main__":
    main()
