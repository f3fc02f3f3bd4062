"""Make .venv and install OpenLDN in it, exactly as locked."""

import os
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
OLDEST = (3, 11)
NEWER = ("python3.14", "python3.13", "python3.12", "python3.11")


def main() -> int:
    """Install; 0 when .venv is ready."""
    if sys.version_info < OLDEST:
        return with_newer_python()
    began = time.monotonic()
    try:
        make_venv()
        install()
    except subprocess.CalledProcessError as error:
        print(f"setup: this failed: {' '.join(error.cmd)}", file=sys.stderr)
        print("setup: see the lines above; is the package registry reachable?", file=sys.stderr)
        return 1
    (VENV / ".installed").touch()
    print(f"setup: ready in {time.monotonic() - began:.0f} s")
    return 0


def with_newer_python() -> int:
    """Start again with a Python that is new enough, if this machine has one."""
    for name in NEWER:
        if found := shutil.which(name):
            return subprocess.call([found, __file__])
    print("setup: OpenLDN needs Python 3.11 or later; install it, then repeat", file=sys.stderr)
    return 1


def make_venv() -> None:
    """An empty .venv with pip in it."""
    if (VENV / "bin" / "pip").exists():
        return
    print("setup: making .venv")
    try:
        venv.EnvBuilder(with_pip=True, clear=True, symlinks=True).create(VENV)
    except subprocess.CalledProcessError:
        # Debian keeps ensurepip apart from python3
        if os.geteuid() or not shutil.which("apt-get"):
            print("setup: Python lacks venv; on Debian: apt install python3-venv", file=sys.stderr)
            raise
        print("setup: installing the Debian package python3-venv")
        subprocess.check_call(["apt-get", "install", "-y", "-qq", "python3-venv"])
        venv.EnvBuilder(with_pip=True, clear=True, symlinks=True).create(VENV)


def install() -> None:
    """What requirements.lock names, each file checked by its hash; then OpenLDN itself."""
    pip = ["env", "PIP_ROOT_USER_ACTION=ignore", str(VENV / "bin" / "python"), "-m", "pip"]
    pip.append("--disable-pip-version-check")
    print("setup: installing the libraries named in requirements.lock")
    subprocess.check_call(
        [*pip, "install", "-q", "--require-hashes", "-r", "requirements.lock"], cwd=ROOT
    )
    print("setup: installing OpenLDN")
    subprocess.check_call(
        [*pip, "install", "-q", "--no-deps", "--no-build-isolation", "-e", "."], cwd=ROOT
    )


if __name__ == "__main__":
    raise SystemExit(main())
