"""Feed hostile bytes to the parsers of trust: `python tools/fuzz.py [TARGET …] --seconds 60`.

Guided by coverage where `atheris` is installed (pip install atheris), else by chance. Anything but
a result or an LdnError ends the run and prints the input.
"""

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from openldn.base.errors import LdnError
from openldn.trust import jose
from openldn.trust.certificates import party_of
from openldn.trust.certificates.party import text_of, uzi_of
from openldn.trust.peers import load
from openldn.trust.trail import Trail

Target = Callable[[bytes], object]


def jwt(content: bytes) -> object:
    """A signed token, as it comes in a form."""
    return jose.read(content.decode("utf-8", "replace"), Trail())


def other_name(content: bytes) -> object:
    """The DER of an otherName, and the UZI number in it."""
    with suppress(ValueError):
        return uzi_of(text_of(content))
    return None


def profile(content: bytes) -> object:
    """A peer profile that an operator wrote."""
    return load(content, "fuzz")


TARGETS: dict[str, Target] = {
    "jwt": jwt,
    "certificate": party_of,
    "other-name": other_name,
    "profile": profile,
}


def tried(target: Target, content: bytes) -> None:
    """One input; an LdnError is what a hostile one should meet."""
    with suppress(LdnError):
        target(content)


def by_chance(target: Target, seconds: float) -> int:
    """Random bytes and shuffled pieces of earlier ones; how many were tried."""
    chance, seen, count = random.Random(2026), [b"{}", b"e30.e30.", b"\x30\x82"], 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        content = chance.choice(seen) + chance.randbytes(chance.randrange(64))
        at = chance.randrange(len(content) + 1)
        content = content[at:] + content[:at]
        tried(target, content)
        count += 1
        if len(seen) < 200:
            seen.append(content[:512])
    return count


def guided(name: str, seconds: float, corpus: Path | None) -> int:
    """Run atheris in a process of its own, for it never returns."""
    command = [sys.executable, __file__, name, "--inside", f"-max_total_time={seconds:.0f}"]
    return subprocess.call([*command, *([str(corpus)] if corpus else [])])


def inside(name: str, arguments: list[str]) -> None:
    """The process in which atheris runs one target."""
    atheris = import_module("atheris")
    atheris.instrument_all()
    atheris.Setup([name, *arguments], lambda content: tried(TARGETS[name], content))
    atheris.Fuzz()


def main() -> int:
    """Run the targets that were named, or all; 0 when nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="*", help=f"of {', '.join(TARGETS)}; none: all")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given, rest = parser.parse_known_args()
    names = given.target or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no target {', '.join(unknown)}; choose from {', '.join(TARGETS)}")
    if given.inside:
        inside(names[0], rest)
        return 0
    if find_spec("atheris") is None:
        for name in names:
            print(f"{name}: {by_chance(TARGETS[name], given.seconds)} inputs by chance, none fell")
        return 0
    return max(guided(name, given.seconds, given.corpus) for name in names)


if __name__ == "__main__":
    raise SystemExit(main())
