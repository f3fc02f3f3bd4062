"""Which care provider an identifier in an assertion stands for."""

import re
from collections.abc import Callable, Mapping

from openldn.base.errors import Issue, LdnError
from openldn.fhir.identifiers import Ura

URA_ROOT = "2.16.528.1.1007.3.3"
AGB_ROOT = "2.16.840.1.113883.2.4.6.1"
# The old form may have more zeros in front than a URA has digits (AORTA transactietoken 2.2.0).
_URA = re.compile(
    r"urn:(?:IIroot:2\.16\.528\.1\.1007\.3\.3:IIext:|oid:2\.16\.528\.1\.1007\.3\.3\.)"
    r"0{0,8}([0-9]{1,8})",
    re.ASCII,
)

Organization = Callable[[str], Ura]  # raises LdnError for an identifier that is not known


def organizations(known: Mapping[str, Ura]) -> Organization:
    """The care provider of an identifier: a URA in a URN, or one of those `known`.

    `known` names HL7 OIDs of organizations ("urn:oid:2.16.840.1.113883.2.4.3.124.8.50.8") and AGB
    OIDs ("urn:oid:2.16.840.1.113883.2.4.6.1.01234567"). The callable raises LdnError(not-found).
    """

    def organization(identifier: str) -> Ura:
        if match := _URA.fullmatch(identifier):
            return Ura.parse(match.group(1))
        if identifier in known:
            return known[identifier]
        text = "the organization in the assertion is not known here; register its identifier"
        raise LdnError(Issue.NOT_FOUND, text)

    return organization


def ura_urn(ura: Ura) -> str:
    """The URN AORTA uses for a URA. Source: SAML AORTA transactietoken 2.2.0."""
    return f"urn:IIroot:{URA_ROOT}:IIext:{ura}"
