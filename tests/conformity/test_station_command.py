"""openldn station: loud, refuses to be open by accident, loads what it can, ends cleanly."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from openldn.base.http import HttpClient, Reply

PATIENT = {"resourceType": "Patient", "id": "p1", "birthDate": "${DATE, T, Y, -40}"}
WEIGHT = """<Observation xmlns="http://hl7.org/fhir"><id value="w1"/><status value="final"/>
<code><coding><system value="http://loinc.org"/><code value="29463-7"/></coding></code>
<subject><reference value="Patient/p1"/></subject></Observation>"""


@pytest.fixture
def material(tmp_path: Path) -> Path:
    """Two good files, one in a folder below, a Bundle, and one that is not FHIR."""
    folder = tmp_path / "material"
    (folder / "below").mkdir(parents=True)
    (folder / "patient.json").write_text(json.dumps(PATIENT))
    (folder / "below" / "weight.xml").write_text(WEIGHT)
    (folder / "broken.json").write_text('{"resourceType": "Patient", "shoeSize": 42}')
    urn = "urn:uuid:6f7ff4ea-0d4b-4f4e-9a25-6c3ae0b9e1c8"
    inside = [
        {"fullUrl": urn, "resource": {"resourceType": "Patient", "active": True}},
        {
            "resource": {
                "resourceType": "Observation",
                "id": "w2",
                "status": "final",
                "code": {"text": "gewicht"},
                "subject": {"reference": urn},
            }
        },
    ]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": inside}
    (folder / "bundle.json").write_text(json.dumps(bundle))
    return folder


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "openldn", "station", *words]


@contextmanager
def running(tmp_path: Path, dsn: str, *words: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The station's address and process, until the block ends."""
    errors = (tmp_path / "stderr").open("w")
    process = subprocess.Popen(
        command("--port", "0", "--dsn", dsn, *words),
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
    )
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if line.startswith("ready"):
                yield line.split()[1], process
                break
        else:
            pytest.fail((tmp_path / "stderr").read_text())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        errors.close()


def ask(url: str, **headers: str) -> Reply:
    async def call() -> Reply:
        client = HttpClient()
        try:
            return await client.send("GET", url, headers=headers, deadline=20)
        finally:
            await client.close()

    return asyncio.run(call())


def test_a_station_serves_what_it_loaded_and_warns(
    tmp_path: Path, dsn: str, material: Path
) -> None:
    with running(tmp_path, dsn, "--fhir", "R4", "--open", "--load", str(material)) as (
        url,
        process,
    ):
        weight = json.loads(ask(f"{url}/Observation/w1").body)
        born = json.loads(ask(f"{url}/Patient/p1").body)["birthDate"]
        of_bundle = json.loads(ask(f"{url}/Observation/w2").body)

        assert weight["code"]["coding"][0]["code"] == "29463-7"
        assert born.count("-") == 2
        assert of_bundle["subject"]["reference"] == "Patient/6f7ff4ea-0d4b-4f4e-9a25-6c3ae0b9e1c8"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
    said = (tmp_path / "stderr").read_text()
    assert "INSECURE" in said
    assert '"event":"insecure"' in said
    assert "broken.json" in said
    assert "shoeSize" in said


def test_a_station_with_tokens_shows_one_patient_each(tmp_path: Path, dsn: str) -> None:
    (tmp_path / "a.json").write_text('{"resourceType": "Patient", "id": "p1"}')
    (tmp_path / "b.json").write_text('{"resourceType": "Patient", "id": "p2"}')
    tokens = tmp_path / "tokens"
    tokens.write_text('{"token-of-one": "p1", "token-of-two": "Patient/p2"}')
    words = ("--fhir", "STU3", "--tokens", str(tokens), "--load", str(tmp_path / "a.json"))
    with running(tmp_path, dsn, *words, "--load", str(tmp_path / "b.json")) as (url, _):
        found = {
            who: json.loads(ask(f"{url}/Patient", authorization=f"Bearer {who}").body)
            for who in ("token-of-one", "token-of-two")
        }
        nobody = ask(f"{url}/Patient")
        wrong = ask(f"{url}/Patient/p1", authorization="Bearer guess")
        other = ask(f"{url}/Patient/p2", authorization="Bearer token-of-one")

    assert [found[w]["entry"][0]["resource"]["id"] for w in found] == ["p1", "p2"]
    assert [found[w]["total"] for w in found] == [1, 1]
    assert [nobody.status, wrong.status, other.status] == [401, 401, 404]
    assert nobody.headers["www-authenticate"] == "Bearer"
    assert "token-of" not in (tmp_path / "stderr").read_text()


def refused(*words: str) -> str:
    done = subprocess.run(command(*words), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1, done.stderr
    return done.stderr


def test_a_station_is_not_open_unless_told(tmp_path: Path) -> None:
    said = refused("--fhir", "R4", "--port", "0")

    assert "--open" in said
    assert "--tokens" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "No such file"),
        ("{", "tokens"),
        ("[]", "token"),
        ("{}", "token"),
        ('{"secret": 5}', "Patient id"),
        ('{"secret": "not an id"}', "Patient id"),
    ],
)
def test_tokens_that_cannot_be_read_are_refused(
    tmp_path: Path, content: str | None, says: str
) -> None:
    file = tmp_path / "tokens.json"
    if content is not None:
        file.write_text(content)

    said = refused("--fhir", "R4", "--port", "0", "--tokens", str(file))

    assert says in said
    assert "secret" not in said
    assert "Traceback" not in said


def test_what_cannot_be_loaded_at_all_ends_the_station(tmp_path: Path, dsn: str) -> None:
    (tmp_path / "bad.json").write_text("nonsense")
    base = ("--fhir", "R4", "--port", "0", "--open", "--dsn", dsn)

    assert "no such file" in refused(*base, "--load", str(tmp_path / "absent"))
    said = refused(*base, "--load", str(tmp_path / "bad.json"))

    assert "bad.json" in said
    assert "not one file could be read" in said


def test_a_port_in_use_is_told(tmp_path: Path, dsn: str) -> None:
    with running(tmp_path, dsn, "--fhir", "R4", "--open") as (url, _):
        port = url.rpartition(":")[2]
        said = refused("--fhir", "R4", "--open", "--dsn", dsn, "--port", port)

    assert f"port {port} is in use" in said
    assert "Traceback" not in said


def test_a_station_keeps_its_records_in_its_own_database(tmp_path: Path) -> None:
    folder, material = tmp_path / "kept", tmp_path / "p.json"
    tmp_path.chmod(0o755)
    material.write_text('{"resourceType": "Patient", "id": "p1"}')
    words = ["--fhir", "R4", "--open", "--port", "0", "--dir", str(folder)]
    for more in (["--load", str(material)], []):
        process = subprocess.Popen(
            command(*words, *more), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert process.stdout is not None
        try:
            url = next(line.split()[1] for line in process.stdout if line.startswith("ready"))
            assert ask(f"{url}/Patient/p1").status == 200
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
