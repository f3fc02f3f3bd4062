"""The headers of every AORTA interaction: which request, in which chain, in which version.

Source: AORTA-on-FHIR, Interfaces Common (AORTA-ID 1.0.0, AORTA-Version); rule R84.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from openldn.base.errors import Issue, LdnError
from openldn.base.runtime import NewId
from openldn.trust.aorta.versions import Range, Version

ID_HEADER, VERSION_HEADER = "AORTA-ID", "AORTA-Version"
_UUID = "[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}"
_ID = re.compile(f"initialRequestID=({_UUID}); requestID=({_UUID})")
_VERSION = re.compile(r"contentVersion=([^;\s]{1,64}); acceptVersion=([ -:<-~]{1,128})")


@dataclass(frozen=True)
class AortaId:
    """Which request this is, and which one began the chain."""

    initial: str  # UUID of the first request of the whole chain
    request: str  # UUID of this message

    @classmethod
    def begin(cls, new_id: NewId) -> "AortaId":
        """The ids of a request that begins a chain."""
        first = new_id()
        return cls(first, first)

    @classmethod
    def read(cls, values: Sequence[str]) -> "AortaId":
        """The ids in the header, all its values given; raises LdnError(invalid)."""
        match = _ID.fullmatch(values[0]) if len(values) == 1 else None
        if match is None:
            text = "send AORTA-ID once: initialRequestID=<UUID>; requestID=<UUID>"
            raise LdnError(Issue.INVALID, text, detail="aorta-id")
        return cls(*match.groups())

    def hop(self, new_id: NewId) -> "AortaId":
        """The ids of the next request in this chain: the first stays, its own is new (R84)."""
        return AortaId(self.initial, new_id())

    def __str__(self) -> str:
        return f"initialRequestID={self.initial}; requestID={self.request}"


@dataclass(frozen=True)
class AortaVersion:
    """In which version the content is, and which ones are welcome in return."""

    content: Version
    accept: Range

    @classmethod
    def read(cls, values: Sequence[str]) -> "AortaVersion":
        """The versions in the header, all its values given; raises LdnError(invalid)."""
        return _version(values[0] if len(values) == 1 else "")

    def answer_in(self, offered: Sequence[Version]) -> Version:
        """The highest of our versions that is welcome; raises LdnError with status 406."""
        fitting = [version for version in offered if version in self.accept]
        if not fitting:
            ours = ", ".join(map(str, sorted(offered)))
            text = f"none of our versions fits acceptVersion; ask for one of {ours}"
            raise LdnError(Issue.NOT_SUPPORTED, text, detail="aorta-version: accept", status=406)
        return max(fitting)

    def require(self, taken: Range) -> None:
        """Refuse content in a version that we do not take: LdnError with status 415."""
        if self.content not in taken:
            text = f"we do not take this contentVersion; send one of {taken}"
            raise LdnError(Issue.NOT_SUPPORTED, text, detail="aorta-version: content", status=415)

    def __str__(self) -> str:
        return f"contentVersion={self.content}; acceptVersion={self.accept}"


@lru_cache(maxsize=64)  # a peer says the same with each message
def _version(text: str) -> AortaVersion:
    match = _VERSION.fullmatch(text)
    if match is None:
        wanted = "send AORTA-Version once: contentVersion=<semver>; acceptVersion=<semver range>"
        raise LdnError(Issue.INVALID, wanted, detail="aorta-version")
    return AortaVersion(Version.parse(match.group(1)), Range.parse(match.group(2)))
