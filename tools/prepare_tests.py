"""Get the programs that tests need and pip cannot give: as root from Debian, else say how."""

import os
import shutil
import subprocess
import sys

# program looked for -> Debian package that has it, what needs it
NEEDS = {
    "chromium": ("chromium", "the tests of the pages in a real browser"),
    "softhsm2-util": ("softhsm2", "the tests of keys on a PKCS#11 token"),
    "openssl": ("openssl", "the tests against an endpoint of OpenSSL itself"),
}


def main() -> int:
    """Install or report; 0 also when something stays missing: those tests then say `not run`."""
    missing = {p: need for p, need in NEEDS.items() if not shutil.which(p)}
    if not missing:
        return 0
    packages = [package for package, _ in missing.values()]
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"tests: installing Debian packages: {' '.join(packages)}", flush=True)
        if installed(packages):
            return 0
    for program, (package, purpose) in missing.items():
        print(f"tests: {program} is missing; not run: {purpose}", file=sys.stderr)
        print(f"tests: on Debian or Ubuntu: sudo apt install {package}", file=sys.stderr)
    return 0


def installed(packages: list[str]) -> bool:
    """Whether Debian's package manager could install these."""
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    subprocess.call([*apt, "update"])
    command = [*apt, "install", "-y", "--no-install-recommends", *packages]
    return subprocess.call(command, stdout=subprocess.DEVNULL) == 0


if __name__ == "__main__":
    raise SystemExit(main())
