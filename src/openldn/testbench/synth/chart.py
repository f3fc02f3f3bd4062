"""The record of one fictitious patient at one provider, while it is being written."""

from dataclasses import dataclass, field
from datetime import date, timedelta

from openldn.fhir.identifiers import AGB_SYSTEM, URA_SYSTEM, UZI_SYSTEM
from openldn.fhir.model import FhirVersion, Resource
from openldn.testbench.members import Member
from openldn.testbench.placed import Placed
from openldn.testbench.synth.people import Person, demographics

ZIB = "http://nictiz.nl/fhir/StructureDefinition/"
NL_CORE = "http://fhir.nl/fhir/StructureDefinition/"


@dataclass(frozen=True)
class Site:
    """Where a record is kept, and who signs for it."""

    member: Member
    doctor: str
    uzi: str
    specialty: str


@dataclass
class Chart:
    """Resources about one person at one site; every id is made of the person's key and a count."""

    person: Person
    site: Site
    today: date
    resources: list[Resource] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.organization = self._shared(
            "Organization", self.site.member.key, _organization(self.site)
        )
        self.doctor = self._shared("Practitioner", self.site.uzi, _practitioner(self.site))
        content = {
            **demographics(self.person),
            "generalPractitioner": [self.doctor],
            "managingOrganization": self.organization,
        }
        self.patient = self.add("Patient", f"{NL_CORE}nl-core-patient", content, id=self.person.key)

    def add(self, kind: str, profile: str, content: Resource, *, id: str = "") -> Resource:
        """Write this resource; the reference to it."""
        own = id or f"{self.person.key}-{kind.lower()}-{len(self.resources) + 1}"
        full = profile if "/" in profile else f"{ZIB}{profile}"
        resource = {"resourceType": kind, "id": own, "meta": {"profile": [full]}, **content}
        self.resources.append(resource)
        return _reference(resource)

    def of(self, *profiles: str) -> list[Resource]:
        """References to what was written so far by one of these profiles."""
        return [_reference(r) for r in self.resources if r["meta"]["profile"][0] in profiles]

    def known(self, site: Site) -> Resource:
        """Another provider, as this record knows it."""
        return self._shared("Organization", site.member.key, _organization(site))

    def day(self, days_ago: int) -> str:
        """The date so many days ago; negative is in the future."""
        return (self.today - timedelta(days=days_ago)).isoformat()

    def moment(self, days_ago: int, time: str = "09:30") -> str:
        """That date with a time, in winter time."""
        return f"{self.day(days_ago)}T{time}:00+01:00"

    def placed(self) -> list[Placed]:
        """Everything written, with where it belongs."""
        member = self.site.member.key
        return [Placed(member, FhirVersion.STU3, r, "synthetic") for r in self.resources]

    def _shared(self, kind: str, key: str, content: Resource) -> Resource:
        profile = f"{NL_CORE}nl-core-{kind.lower()}"
        return self.add(kind, profile, content, id=f"{kind.lower()}-{key}")


def _organization(site: Site) -> Resource:
    identifiers = [
        {"system": URA_SYSTEM, "value": site.member.ura},
        {"system": AGB_SYSTEM, "value": site.member.agb},
    ]
    return {"identifier": identifiers, "active": True, "name": site.member.name}


def _practitioner(site: Site) -> Resource:
    return {
        "identifier": [{"system": UZI_SYSTEM, "value": site.uzi}],
        "active": True,
        "name": [{"use": "official", "text": site.doctor, "family": site.doctor.split()[-1]}],
        "qualification": [{"code": {"text": site.specialty}}],
    }


def _reference(resource: Resource) -> Resource:
    place = f"{resource['resourceType']}/{resource['id']}"
    return {"reference": place, "display": _display(resource)}


def _display(resource: Resource) -> str:
    name = resource.get("name")
    if isinstance(name, list):
        return str(name[0].get("text", resource["id"]))
    code = resource.get("code") or resource.get("type") or {}
    text = code.get("text") if isinstance(code, dict) else None
    return str(name or text or resource["id"])
