"""Two network namespaces, and a line between them that can be slow, lossy or cut.

Real packets of a real TCP stack: what is lost here is sent again there. Linux only, as root.
"""

import ctypes
import fcntl
import heapq
import os
import select
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random

from openldn.base.errors import Issue, LdnError

NEAR, FAR = "10.88.0.1", "10.88.0.2"  # our end, and that of the other namespace
_TUNNEL, _DEVICE = "/dev/net/tun", "ldn0"
_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
_NEWNET = 0x40000000
_LARGEST = 65536  # bytes of a packet
_PULSE = 0.02  # seconds between two looks when nothing comes
_libc = ctypes.CDLL(None, use_errno=True)


def possible() -> bool:
    """Whether this machine lets us make namespaces and tunnels."""
    return os.name == "posix" and os.geteuid() == 0 and os.access(_TUNNEL, os.R_OK | os.W_OK)


@dataclass
class Line:
    """The line; its qualities may change while packets are under way."""

    delay: float = 0.0  # seconds, each way
    loss: float = 0.0  # part of the packets that get lost
    cut: bool = False
    chance: Random = field(default_factory=lambda: Random(2026))  # noqa: S311  (which get lost)
    carried: int = 0  # packets
    lost: int = 0
    ended: bool = False

    def carry(self, ends: tuple[int, int]) -> None:
        """Move packets between two tunnels until it has ended."""
        under_way: list[tuple[float, int, int, bytes]] = []
        other = {ends[0]: ends[1], ends[1]: ends[0]}
        count = 0
        while not self.ended:
            for end in select.select(ends, [], [], self._patience(under_way))[0]:
                packet = os.read(end, _LARGEST)
                count += 1
                if self._lost():
                    continue
                due = time.monotonic() + self.delay
                heapq.heappush(under_way, (due, count, other[end], packet))
            while under_way and under_way[0][0] <= time.monotonic():
                _, _, end, packet = heapq.heappop(under_way)
                os.write(end, packet)
                self.carried += 1

    def _lost(self) -> bool:
        lost = self.cut or self.chance.random() < self.loss
        self.lost += lost
        return lost

    def _patience(self, under_way: list[tuple[float, int, int, bytes]]) -> float:
        if not under_way:
            return _PULSE
        return min(_PULSE, max(0.0, under_way[0][0] - time.monotonic()))


@dataclass(frozen=True)
class Elsewhere:
    """The other namespace."""

    line: Line
    space: int  # a file that holds the namespace

    def command(self, command: list[str]) -> list[str]:
        """The same command, run there."""
        return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.space}", "--", *command]

    def thread(self, work: Callable[[], None]) -> threading.Thread:
        """A thread that opens its connections there; it is not started yet."""

        def run() -> None:
            _enter(self.space)
            work()

        return threading.Thread(target=run, daemon=True)


@contextmanager
def elsewhere() -> Iterator[Elsewhere]:
    """Another namespace, reached over a line that is good to begin with.

    To be used in a namespace of one's own (`unshare --net`): it gets a network device. Raises
    LdnError(not-supported) where the machine does not let us.
    """
    if not possible():
        text = "network namespaces need Linux, root and /dev/net/tun"
        raise LdnError(Issue.NOT_SUPPORTED, text)
    _up("lo")
    space, far = _made()
    line, near = Line(), _tunnel(NEAR, FAR)
    carrying = threading.Thread(target=line.carry, args=((near, far),), daemon=True)
    carrying.start()
    try:
        yield Elsewhere(line, space)
    finally:
        line.ended = True
        carrying.join(5)
        for opened in (near, far, space):
            os.close(opened)


def _made() -> tuple[int, int]:
    """A new namespace and the end of a tunnel in it; made in a thread, that ours stays here."""
    found: list[int] = []

    def make() -> None:
        _ask(_libc.unshare(_NEWNET))
        found.append(os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY))
        _up("lo")
        found.append(_tunnel(FAR, NEAR))

    maker = threading.Thread(target=make)
    maker.start()
    maker.join()
    if len(found) != 2:
        raise LdnError(Issue.NOT_SUPPORTED, "this machine lets us make no network namespace")
    return found[0], found[1]


def _enter(space: int) -> None:
    _ask(_libc.setns(space, _NEWNET))


def _ask(outcome: int) -> None:
    if outcome != 0:
        raise LdnError(Issue.NOT_SUPPORTED, os.strerror(ctypes.get_errno()))


def _tunnel(own: str, peer: str) -> int:
    """The end of a tunnel in the namespace of this thread."""
    opened = os.open(_TUNNEL, os.O_RDWR)
    request = struct.pack("16sH22x", _DEVICE.encode(), _IFF_TUN | _IFF_NO_PI)
    fcntl.ioctl(opened, _TUNSETIFF, request)
    _run("ip", "address", "add", own, "peer", peer, "dev", _DEVICE)
    _up(_DEVICE)
    return opened


def _up(device: str) -> None:
    _run("ip", "link", "set", device, "up")


def _run(*command: str) -> None:
    # a program that we start is in the namespace of the thread that starts it
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603  (fixed commands)
