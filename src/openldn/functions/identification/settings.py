"""Settings of who asks the register of people."""

from openldn.base.errors import Issue, LdnError
from openldn.base.http import HttpClient
from openldn.base.log import emit
from openldn.base.runtime import NewId
from openldn.base.settings import Settings
from openldn.fhir.identifiers import bsn_reader
from openldn.functions.identification.client import persons
from openldn.functions.identification.model import Persons


class IdentificationSettings(Settings, frozen=True):
    """Where a person's BSN is found and verified."""

    url: str  # of SBV-Z (sbvz-mrt21), or the base of an own service (json)
    wire: str = "sbvz-mrt21"  # or json
    insecure_accept_untested_bsn: bool = False  # test only: numbers that fail the eleven test count


def persons_of(settings: IdentificationSettings, http: HttpClient, new_id: NewId) -> Persons:
    """The register of people; `http` shows the UZI server certificate and checks the other side.

    Raises LdnError(invalid) for an unknown wire, or an address without TLS.
    """
    if not settings.url.startswith("https://"):
        text = "identification.url must be https: a person's data go there; correct the settings"
        raise LdnError(Issue.INVALID, text)
    loose = settings.insecure_accept_untested_bsn
    if loose:
        emit("insecure", setting="identification.insecure_accept_untested_bsn")
    reader = bsn_reader(insecure_accept_untested_bsn=loose)
    return persons(settings.wire, http, settings.url, new_id, reader)
