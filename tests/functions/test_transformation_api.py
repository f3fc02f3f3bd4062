"""Transformation over real TLS: both formats, both directions, and who may ask."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import Databases
from functions.transformation_cases import NOW, R4, STU3
from functions.wire_cases import CLINIC, HOSPITAL, SERVER, caller, identity, pki
from starlette.types import ASGIApp, Receive, Scope, Send
from typer.testing import CliRunner

from openldn.app import role_of
from openldn.app.transformation import TransformationSettings
from openldn.base.http import HttpClient, Reply, server_context, serving
from openldn.base.runtime import new_uuid, utc_now
from openldn.base.settings import check as settings_of
from openldn.cli import build
from openldn.fhir.codec import Format, check, decode, dump, encode, parse
from openldn.fhir.http import application
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.authentication.client import ServiceTokens, Target
from openldn.functions.transformation import api
from openldn.functions.transformation.service import Transformation
from openldn.trust.parties import CALLER, Caller

CONDITION: Resource = {
    "resourceType": "Condition",
    "id": "c-1",
    "clinicalStatus": "active",
    "code": {"text": "astma"},
    "subject": {"reference": "Patient/p-1"},
    "abatementBoolean": False,
}
JSON = {"content-type": "application/fhir+json"}
READER = frozenset({"transformation:read"})


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pki(tmp_path_factory.mktemp("pki"))


@dataclass
class Gate:
    """Stands where the gateway stands."""

    inner: ASGIApp
    scopes: frozenset[str] | None  # None: nobody established who calls

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.scopes is not None:
            scope[CALLER] = Caller(HOSPITAL, self.scopes)
        await self.inner(scope, receive, send)


@asynccontextmanager
async def running(
    folder: Path, scopes: frozenset[str] | None = READER
) -> AsyncIterator[tuple[HttpClient, str]]:
    service = Transformation(lambda: NOW, new_uuid)
    app = application(api.routes(service), role="test", new_id=new_uuid)
    guarded = Gate(app, scopes)
    context = server_context(identity(folder, SERVER))
    async with serving(guarded, "127.0.0.1", 0, context) as port, caller(folder, HOSPITAL) as http:
        yield http, f"https://127.0.0.1:{port}"


def ask(
    folder: Path,
    query: str,
    body: bytes,
    headers: dict[str, str] = JSON,
    scopes: frozenset[str] | None = READER,
) -> Reply:
    async def work() -> Reply:
        async with running(folder, scopes) as (http, url):
            address = f"{url}/transform{query}"
            return await http.send("POST", address, headers=headers, body=body, deadline=10)

    return asyncio.run(work())


def parts(reply: Reply, version: FhirVersion) -> dict[str, Any]:
    assert reply.status == 200, reply.body
    form = Format.XML if "xml" in reply.headers["content-type"] else Format.JSON
    found = decode(reply.body, form, version)
    return {p["name"]: p["resource"] for p in found["parameter"]}


@pytest.mark.parametrize("form", Format)
@pytest.mark.parametrize("wanted", Format)
def test_a_resource_goes_in_and_out_in_either_format(
    certificates: Path, form: Format, wanted: Format
) -> None:
    headers = {"content-type": form.mime, "accept": wanted.mime}

    reply = ask(certificates, "?to=R4", encode(CONDITION, form, STU3), headers)

    assert reply.headers["content-type"].startswith(f"{wanted.mime}; fhirVersion=4.0")
    found = parts(reply, R4)
    assert found["resource"]["clinicalStatus"]["coding"][0]["code"] == "active"
    [loss] = found["losses"]["issue"]
    assert (loss["severity"], loss["expression"]) == ("information", ["Condition.abatementBoolean"])


def test_t03_the_answer_holds_the_provenance_in_the_version_that_was_asked(
    certificates: Path,
) -> None:
    there = parts(ask(certificates, "?from=3.0&to=4.0", dump(CONDITION)), R4)
    back = parts(
        ask(certificates, "?to=STU3&signature=Provenance/s-1", dump(there["resource"])), STU3
    )

    assert there["provenance"]["entity"][0]["what"]["reference"] == "Condition/c-1"
    assert check(back["provenance"], STU3)["resourceType"] == "Provenance"
    assert [e["whatReference"]["reference"] for e in back["provenance"]["entity"]] == [
        "Condition/c-1",
        "Provenance/s-1",
    ]
    assert back["resource"] == CONDITION


def test_t02_without_an_output_the_answer_is_an_operation_outcome(certificates: Path) -> None:
    body = dump({"resourceType": "ValueSet", "status": "draft"})

    reply = ask(certificates, "?to=R4", body, JSON | {"accept": "application/fhir+xml"})

    assert reply.status == 422
    [issue] = decode(reply.body, Format.XML, R4)["issue"]
    assert issue["severity"] == "fatal"


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("", 400),
        ("?to=R5", 400),
        ("?from=R4&to=R4", 400),
        ("?to=R4&patient=1", 400),
        ("?to=R4&signature=Patient/1", 400),
        ("?to=STU3", 400),  # the body is STU3, not R4
    ],
)
def test_what_is_asked_wrongly_is_named(certificates: Path, query: str, status: int) -> None:
    reply = ask(certificates, query, dump(CONDITION))

    assert reply.status == status
    assert parse(reply.body)["resourceType"] == "OperationOutcome"


def test_nobody_is_served_without_the_gateway_or_the_scope(certificates: Path) -> None:
    assert ask(certificates, "?to=R4", dump(CONDITION), scopes=None).status == 401
    assert ask(certificates, "?to=R4", dump(CONDITION), scopes=frozenset()).status == 403


def test_an_identity_in_a_header_is_no_identity(certificates: Path) -> None:
    headers = JSON | {"x-gf-sub": "00000001", "x-gf-scope": "transformation:read"}

    assert ask(certificates, "?to=R4", dump(CONDITION), headers, scopes=None).status == 401


def test_the_role_serves_behind_its_gateway(certificates: Path, databases: Databases) -> None:
    async def work() -> Reply:
        shown = identity(certificates, SERVER)
        values = {
            "certificate": str(shown.certificate),
            "key_file": str(shown.key),
            "ca": str(certificates / "ca.pem"),
            "public": "https://127.0.0.1:8443",
            "dsn": await databases.fresh(),
            "gateway": {"audiences": ["transformation"]},
        }
        chosen = settings_of(values, TransformationSettings, "test")
        async with role_of("transformation").build(chosen) as (one,):
            async with (
                serving(one.app, one.host, 0, one.context) as port,
                caller(certificates, CLINIC) as http,
            ):
                url = f"https://127.0.0.1:{port}"
                target = Target(url, "transformation", CLINIC.value, "ehr")
                tokens = ServiceTokens(target, http, utc_now, new_uuid)
                bearer = await tokens.bearer("transformation:read")
                return await http.send(
                    "POST",
                    f"{url}/transform?to=R4",
                    headers=JSON | {"authorization": f"Bearer {bearer}"},
                    body=dump(CONDITION),
                    deadline=10,
                )

    assert parts(asyncio.run(work()), R4)["resource"]["resourceType"] == "Condition"


def test_the_command_writes_the_output_and_lists_the_losses(tmp_path: Path) -> None:
    file, proof = tmp_path / "condition.xml", tmp_path / "provenance.json"
    file.write_bytes(encode(CONDITION, Format.XML, STU3))
    typed = ["transform", str(file), "--to", "R4", "--losses", "--provenance", str(proof)]

    done = CliRunner().invoke(build(("transform",)), typed, prog_name="openldn")

    assert done.exit_code == 0, done.stderr
    assert decode(done.stdout.encode(), Format.XML, R4)["resourceType"] == "Condition"
    assert "Condition.abatementBoolean: " in done.stderr
    assert done.stderr.strip().endswith("0 lost, 1 kept as extensions")
    assert check(parse(proof.read_bytes()), R4)["resourceType"] == "Provenance"


def test_the_command_without_an_output_says_why(tmp_path: Path) -> None:
    file = tmp_path / "values.json"
    file.write_bytes(dump({"resourceType": "ValueSet", "status": "draft"}))

    done = CliRunner().invoke(
        build(("transform",)), ["transform", str(file), "--to", "R4"], prog_name="openldn"
    )

    assert (done.exit_code, done.stdout) == (1, "")
    assert parse(done.stderr.encode())["issue"][0]["severity"] == "fatal"
