"""What a transformation gives: the resource, what is wrong, and what did not come along."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from openldn.fhir.model import FhirVersion, Resource

DEVICE = "OpenLDN transformation"  # who assembled an output, unless the context says otherwise


@dataclass(frozen=True)
class Loss:
    """One path of the source that is not in the output, or only as an extension."""

    path: str  # FHIRPath in the source; all that stands below it is meant too
    reason: str
    kept: str = ""  # URL of the extension that carries it; empty: it is gone


@dataclass(frozen=True)
class Fault:
    """What is wrong; a fatal one means that there is no output."""

    text: str  # names elements and what to do, never a value
    path: str = ""
    code: str = "not-supported"  # FHIR issue type
    fatal: bool = True


@dataclass(frozen=True, order=True)
class MapUsed:
    """A map that had a part in an output."""

    id: str
    version: str

    @property
    def canonical(self) -> str:
        """The address of the map with its version, as Provenance.policy names it."""
        return f"https://openldn.nl/fhir/StructureMap/{self.id}|{self.version}"


@dataclass(frozen=True)
class Context:
    """What the engine may not find out itself."""

    when: datetime  # aware
    id: str  # of the Provenance that is made
    device: str = DEVICE
    base: str = ""  # FHIR base of the source, for absolute references to it
    signatures: tuple[str, ...] = ()  # references to Provenance resources that sign the source


@dataclass(frozen=True)
class Transformed:
    """The outcome of one transformation."""

    resource: Resource | None
    issues: tuple[Fault, ...] = ()
    losses: tuple[Loss, ...] = ()
    maps: tuple[MapUsed, ...] = ()
    provenance: Resource | None = None  # R4
    carried: tuple[str, ...] = field(default=(), repr=False)  # source paths; only when traced

    @property
    def gone(self) -> tuple[Loss, ...]:
        """The losses that no extension carries."""
        return tuple(loss for loss in self.losses if not loss.kept)


class Transformer(Protocol):
    """The port of transformation."""

    def transform(
        self, resource: Resource, source: FhirVersion, target: FhirVersion, context: Context
    ) -> Transformed:
        """`resource` of the version `source` in the version `target`; never raises for content.

        A fatal issue means no output. Each source path that is not carried over is a loss.
        """
        ...
