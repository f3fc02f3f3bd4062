"""How other parties are spoken to, as an operator sets it."""

from openldn.base.settings import Settings


class PeerSettings(Settings, frozen=True, kw_only=True):
    """One other party; what is left out follows from the directory."""

    wire: str = ""  # its dialect of the notified pull: T, N, NP, K, O or H; empty: of its profile
    profile: str = ""  # its peer profile, "viplive"; empty: that of the road it is on
    agb: str = ""  # AGB code by which its messages may name it
    did: str = ""  # DID by which its messages may name it
