"""Two nodes on a slow, lossy line that is cut for a while: both sides know the same soon after."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from journeys.laptop import free_base
from openldn.testbench.faults.line import possible

LONG = bool(os.environ.get("OPENLDN_LONG"))
SECONDS, OFFERS = (60, 20) if LONG else (5, 3)
WITHIN = 10.0 if LONG else 30.0  # seconds; the figure is for a machine that does nothing else


@pytest.mark.skipif(
    not possible() or shutil.which("unshare") is None,
    reason="not run: network namespaces need Linux, root and /dev/net/tun",
)
def test_both_sides_agree_soon_after_the_line_between_them_was_cut(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    module = ("-m", "openldn.testbench.faults.partition", str(tmp_path / "network"))
    much = ("--seconds", str(SECONDS), "--offers", str(OFFERS), "--port-base", str(free_base()))
    ran = subprocess.run(
        ["unshare", "--net", sys.executable, *module, *much],
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert (told["apart_before"], told["apart_after"]) == (0, 0)
    assert told["offers"] == 2 * OFFERS
    assert told["lost"] > 0
    assert told["agreed_after"] <= WITHIN, told
