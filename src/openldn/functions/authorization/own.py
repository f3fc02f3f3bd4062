"""A holder's own policy in Rego, after ours: it may deny further, never allow.

The file defines a set `deny` of texts in the package `openldn.own`; each text is a reason. What
it does not answer in time, or not in that form, denies.
"""

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from openldn.base.errors import Issue, LdnError
from openldn.functions.authorization.document import document, of_names
from openldn.functions.authorization.masking import masked
from openldn.functions.authorization.question import Code, Matter, Reason

_WORKER = Path(__file__).with_name("own_worker.py")
_STARTING = 10.0  # seconds for the process to be ready
_LARGEST = 256 * 1024  # bytes of one answer
_MOST = 20  # reasons told of one decision
_LONGEST = 200  # characters of one reason


@dataclass
class OwnPolicy:
    """The file, in a process of its own that is ended when it takes too long."""

    path: Path
    patience: float = 1.0  # seconds for one decision
    _process: Process | None = field(default=None, repr=False)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)

    @classmethod
    async def open(cls, path: Path, patience: float = 1.0) -> "OwnPolicy":
        """The policy of this file, ready; raises LdnError(invalid) for one that cannot be used."""
        own = cls(path, patience)
        await own._checked()
        await own._ready()
        return own

    async def judge(self, matter: Matter, names: Sequence[str]) -> tuple[Reason, ...]:
        """The reasons of the file against this matter; none lets our own decision stand."""
        return await self.denials(document(matter, of_names(tuple(names))))

    async def denials(self, given: Mapping[str, Any]) -> tuple[Reason, ...]:
        """The reasons of the file against this document."""
        async with self._turn:
            answer = None
            try:
                process = await self._ready()
                async with asyncio.timeout(self.patience):
                    answer = await _answer(process, given)
            except (TimeoutError, OSError, ValueError, msgspec.DecodeError):
                return (_unusable("gave no answer in time or one that cannot be read"),)
            finally:
                if answer is None:  # also canceled: what it still says must answer nothing else
                    await self._end()
        if "deny" not in answer:
            return (_unusable("failed on this question"),)
        # whoever wrote the file may have put the patient in a text, which goes to the asker
        texts = [str(masked(str(text)))[:_LONGEST] for text in answer["deny"][:_MOST]]
        return tuple(Reason(Code.NOT_ALLOWED, text, "own") for text in texts)

    async def close(self) -> None:
        """End the process."""
        await self._end()

    async def _ready(self) -> Process:
        """The process, started again when it ended."""
        process = self._process
        if process is None or process.returncode is not None:
            process = self._process = await self._start(DEVNULL)
            async with asyncio.timeout(_STARTING):
                await _line(process)  # what it says of an empty input
        return process

    async def _start(self, errors: int) -> Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", str(_WORKER), str(self.path.resolve())),
            stdin=PIPE,
            stdout=PIPE,
            stderr=errors,
            env={},  # nothing of ours is in its reach
            limit=_LARGEST,
        )

    async def _checked(self) -> None:
        """Run the file once over nothing, with what the engine says of it kept for the message."""
        process = await self._start(PIPE)
        try:
            async with asyncio.timeout(_STARTING):
                told, engine = await process.communicate(b"")
        except TimeoutError as error:
            process.kill()
            await process.wait()
            raise self._broken("it does not end on an empty input") from error
        answer = _decoded(told.splitlines()[0]) if told.strip() else {}
        if "deny" not in answer:
            said = " ".join(engine.decode(errors="replace").split())[:300]
            why = str(answer.get("error", "the engine broke off"))
            raise self._broken(f"{why} ({said})" if said else why)

    def _broken(self, why: str) -> LdnError:
        text = f"the own policy {self.path} cannot be used: {why}; mend it or leave it out"
        return LdnError(Issue.INVALID, text)

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _answer(process: Process, given: Mapping[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None  # noqa: S101  (a pipe was asked for)
    process.stdin.write(msgspec.json.encode(given) + b"\n")
    await process.stdin.drain()
    return await _line(process)


async def _line(process: Process) -> dict[str, Any]:
    assert process.stdout is not None  # noqa: S101  (a pipe was asked for)
    line = await process.stdout.readline()
    if not line:
        raise OSError("the process of the own policy ended")
    return _decoded(line)


def _decoded(line: bytes) -> dict[str, Any]:
    value = msgspec.json.decode(line)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _unusable(what: str) -> Reason:
    return Reason(Code.INTERNAL, f"the holder's own policy {what}", "own")
