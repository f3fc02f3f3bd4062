"""Server certificates of care providers: whom they name, and whether we believe them."""

from openldn.trust.certificates.chain import Anchors
from openldn.trust.certificates.party import (
    CertificateParty,
    check_peer,
    party_of,
    require_party,
    thumbprint,
)

__all__ = [
    "Anchors",
    "CertificateParty",
    "check_peer",
    "party_of",
    "require_party",
    "thumbprint",
]
