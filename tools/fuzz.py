"""Feed hostile bytes to the parsers of trust: `python tools/fuzz.py [TARGET …] --seconds 60`.

Guided by coverage where `atheris` is installed (pip install atheris), else by chance; both begin
from the seeds of the target. Anything but a result or a refusal ends the run and prints the input.
"""

import argparse
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fuzz_bench import Target

ROOT = Path(__file__).resolve().parent.parent
LARGEST = 64 * 1024  # bytes of one input


def targets() -> Any:
    """The module of targets; it needs the kits of the tests."""
    for folder in ("src", "tests", "tools"):
        if str(ROOT / folder) not in sys.path:
            sys.path.append(str(ROOT / folder))
    return import_module("fuzz_targets")


@contextmanager
def opened(name: str) -> "Iterator[Target]":
    """The target of this name, for as long as the block lasts."""
    module = targets()
    with import_module("fuzz_bench").bench() as at:
        yield module.TARGETS[name](at)


def tried(target: "Target", content: bytes) -> None:
    """One input; a refusal is what a hostile one should meet."""
    with suppress(*target.refuses):
        target.read(content)


def by_chance(target: "Target", seconds: float, most: int = sys.maxsize) -> int:
    """The seeds, then what chance makes of them; how many were tried, the one that fell told."""
    chance, seen, count = random.Random(2026), list(target.seeds), 0
    for seed in target.seeds:
        tried(target, seed)
    end = time.monotonic() + seconds
    while time.monotonic() < end and count < most:
        content = _changed(chance, seen)
        try:
            tried(target, content)
        except BaseException:
            print(f"fell at {content!r}", file=sys.stderr)
            raise
        count += 1
        if len(seen) < 200:
            seen.append(content)
    return count


def _changed(chance: random.Random, seen: list[bytes]) -> bytes:
    """One of those seen, with a byte changed, a piece cut out, doubled, or put in from another."""
    content, other = bytearray(chance.choice(seen)), chance.choice(seen)
    for _ in range(chance.choice((1, 1, 2, 4))):
        at = chance.randrange(len(content) + 1)
        size = chance.choice((1, 2, 8, 64))
        match chance.randrange(5):
            case 0:
                content[at : at + 1] = chance.randbytes(1)
            case 1:
                del content[at : at + size]
            case 2:
                content[at:at] = content[at : at + size]
            case 3:
                begin = chance.randrange(len(other) + 1)
                content[at:at] = other[begin : begin + size]
            case _:
                content[at:at] = chance.choice(_PIECES)
    return bytes(content[:LARGEST])


_PIECES = (
    *(b"null", b"true", b"{}", b"[]", b"[{}]", b"-1", b"1e999", b"0.5", b"9" * 30),
    *(
        b'""',
        b"\\u0000",
        b"\\ud800",
        b"%",
        b"%00",
        b"\xff",
        b"\0",
        b"\xc3\xa9",
        b"::",
        b"..",
        b"&a=",
    ),
    *(b"<!--x-->", b"<a/>", b"&#0;", b"\x30\x80", b"\x02\x01\0", b"\x05\0"),
)


def guided(name: str, seconds: float, corpus: Path | None) -> int:
    """Run atheris in a process of its own, for it never returns."""
    with nullcontext(str(corpus)) if corpus else TemporaryDirectory() as folder:
        command = [sys.executable, __file__, name, "--inside", f"-max_total_time={seconds:.0f}"]
        limits = [f"-max_len={LARGEST}", "-print_final_stats=1", f"-artifact_prefix={name}-"]
        return subprocess.call([*command, *limits, folder])


def inside(name: str, arguments: list[str]) -> None:
    """The process in which atheris runs one target."""
    atheris = import_module("atheris")
    with atheris.instrument_imports(include=["openldn"]):
        targets()
    with opened(name) as target:
        for place, seed in enumerate(target.seeds):
            (Path(arguments[-1]) / f"seed-{place}").write_bytes(seed)
        atheris.Setup([name, *arguments], lambda content: tried(target, content))
        atheris.Fuzz()


def main() -> int:
    """Run the targets that were named, or all; 0 when nothing was found."""
    names = list(targets().TARGETS) if "--inside" not in sys.argv else []
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="*", help=f"of {', '.join(names)}; none: all")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument(
        "--chance", action="store_true", help="by chance, although atheris is there"
    )
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given, rest = parser.parse_known_args()
    if given.inside:
        inside(given.target[0], [*rest, *given.target[1:]])
        return 0
    if unknown := set(given.target) - set(names):
        parser.error(f"no target {', '.join(unknown)}; choose from {', '.join(names)}")
    chosen = given.target or names
    if find_spec("atheris") is None or given.chance:
        for name in chosen:
            with opened(name) as target:
                count = by_chance(target, given.seconds)
            print(f"{name}: {count} inputs by chance, none fell")
        return 0
    return max(guided(name, given.seconds, given.corpus) for name in chosen)


if __name__ == "__main__":
    raise SystemExit(main())
