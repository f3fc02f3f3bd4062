"""Whatever a caller sends, the answer is a 4xx that says what to do, never a 500."""

import asyncio
import re

import pytest
from fhir.api.fhir_base import JSON, Base, bundle, entry, organization, patient, served
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from openldn.fhir.codec import dump
from openldn.fhir.model import FhirVersion

PT = patient()
P = dump(PT)

# (method, path, body, headers) -> (status, what the message says)
BAD: tuple[tuple[str, str, bytes | None, dict[str, str], int, str], ...] = (
    ("GET", "Nonsense", None, {}, 404, "resource type"),
    ("GET", "Nonsense/1", None, {}, 404, "resource type"),
    ("GET", "patient/1", None, {}, 404, "resource type"),
    ("GET", "Resource", None, {}, 404, "resource type"),
    ("GET", "Parameters", None, {}, 404, "resource type"),
    ("GET", "999900006", None, {}, 404, "resource type"),
    ("GET", "Patient/a_b", None, {}, 400, "id"),
    ("GET", f"Patient/{'a' * 65}", None, {}, 400, "id"),
    ("GET", "Patient/%00", None, {}, 400, "id"),
    ("GET", "Patient/%E2%82%AC", None, {}, 400, "id"),
    ("GET", "Patient/1/2/3/4/5/6/7/8", None, {}, 400, "address"),
    ("GET", "Patient/p1/_history/x", None, {}, 404, "version"),
    ("GET", "Patient/p1/_history/99999999999999", None, {}, 404, "version"),
    ("GET", "Patient/p1/_history/0", None, {}, 404, "version"),
    ("GET", "DocumentReference/$", None, {}, 400, "operation"),
    ("GET", "Patient/p1/$nothing", None, {}, 400, "operation"),
    ("GET", "Patient/$lastn", None, {}, 400, "operation"),
    ("GET", "$export", None, {}, 400, "address"),
    ("GET", "Patient/unknown", None, {}, 404, "resource"),
    ("GET", "Patient?unknown=1", None, {}, 400, "unknown"),
    ("GET", "Patient?birthdate=today", None, {}, 400, "birthdate"),
    ("GET", "Patient?_count=many", None, {}, 400, "_count"),
    ("GET", "Patient?_count=-1", None, {}, 400, "_count"),
    ("GET", "Patient?_sort=nothing", None, {}, 400, "_sort"),
    ("GET", "Patient?_include=Patient:nothing", None, {}, 400, "_include"),
    ("GET", "Patient?name:wrong=x", None, {}, 400, "name"),
    ("GET", "Patient?name=%FF", None, {}, 400, "UTF-8"),
    ("GET", "Patient?name=%00", None, {}, 400, "zero"),
    ("GET", "Patient?" + "&".join(["name=a"] * 201), None, {}, 400, "200"),
    ("GET", "Patient/p1?name=x", None, {}, 400, "name"),
    ("GET", "Patient/p1?_format=csv", None, {}, 406, "application/fhir"),
    ("GET", "Patient", None, {"accept": "image/png"}, 406, "application/fhir"),
    ("GET", "Observation/$lastn?max=0", None, {}, 400, "max"),
    ("GET", "Observation/$lastn?max=1&max=2", None, {}, 400, "max"),
    ("GET", "Patient/_history?_count=0", None, {}, 400, "_count"),
    ("GET", "Patient/_history?_since=yesterday", None, {}, 400, "_since"),
    ("GET", "Patient/_history?_since=2024-01-01T00:00:00", None, {}, 400, "zone"),
    ("GET", "Patient/_history?_page=abc", None, {}, 400, "page"),
    ("GET", "Patient/_history?_at=2024", None, {}, 400, "_at"),
    ("GET", "metadata?mode=terminology", None, {}, 400, "mode"),
    ("GET", "Organization/o1/Observation", None, {}, 404, "Patient"),
    ("GET", "Patient/p1/$everything?_type=Nonsense", None, {}, 400, "_type"),
    ("GET", "Patient/p1/$everything?start=2024", None, {}, 400, "start"),
    ("POST", "Patient", P, {"content_type": "text/plain"}, 415, "application/fhir"),
    ("POST", "Patient", P, {"content_type": f"{JSON}; charset=latin-1"}, 415, "UTF-8"),
    ("POST", "Patient", b"", {}, 400, ""),
    ("POST", "Patient", b"{", {}, 400, ""),
    ("POST", "Patient", b"[1]", {}, 400, ""),
    ("POST", "Patient", b"\xff\xfe", {}, 400, ""),
    ("POST", "Patient", b"[" * 100_000, {}, 400, ""),
    ("POST", "Patient", P.replace(b'"id"', b'"bad"'), {}, 400, ""),
    ("POST", "Patient", b'{"resourceType":"Nonsense"}', {}, 400, ""),
    ("POST", "Patient", dump(organization("o1")), {}, 400, "Organization"),
    ("POST", "Patient", P, {"if_none_exist": "nothing=1"}, 400, "nothing"),
    ("POST", "Patient", P, {"if_none_exist": ""}, 400, "criteria"),
    ("POST", "Patient?name=x", P, {}, 400, "name"),
    ("POST", "Patient/_search", b"name=x", {"content_type": "text/plain"}, 415, "form"),
    ("POST", "Patient/_search", b"x" * 300_000, {}, 413, "larger"),
    ("POST", "_search", b"", {}, 400, "address"),
    ("PUT", "Patient/p9", P, {}, 400, "id"),
    ("PUT", "Patient/p1", dump({"resourceType": "Patient"}), {}, 400, "id"),
    ("PUT", "Organization/p1", P, {}, 400, "Patient"),
    ("PUT", "Patient", P, {}, 400, "criteria"),
    ("PUT", "Patient?_count=1", P, {}, 400, "criteria"),
    ("PUT", "Patient/p1", P, {"if_match": 'W/"1", W/"2"'}, 400, "If-Match"),
    ("DELETE", "Patient?unknown=1", None, {"prefer": "handling=lenient"}, 400, "unknown"),
    ("PATCH", "Patient/p1", P, {}, 405, "method"),
    ("POST", "Patient/p1", P, {}, 405, "method"),
    ("PUT", "metadata", P, {}, 405, "method"),
    ("GET", "", None, {}, 405, "method"),
    ("GET", "Patient/_search", None, {}, 405, "method"),
    ("POST", "", P, {}, 400, "Bundle"),
    ("POST", "", dump({"resourceType": "Bundle", "type": "collection"}), {}, 400, "Bundle"),
    ("POST", "", dump({"resourceType": "Bundle"}), {}, 400, ""),
    ("POST", "", dump(bundle("transaction", {"resource": patient()})), {}, 400, "request"),
    ("POST", "", dump(bundle("transaction", entry("POST", "Patient"))), {}, 400, "Patient"),
    ("POST", "", dump(bundle("transaction", entry("PUT", "Patient/x", patient()))), {}, 400, "id"),
    ("POST", "", dump(bundle("transaction", entry("PUT", "Foo/x", patient()))), {}, 400, "url"),
    ("POST", "", dump(bundle("transaction", entry("DELETE", "Patient"))), {}, 400, "criteria"),
    ("POST", "", dump(bundle("transaction", entry("POST", "Patient/a", PT))), {}, 400, "url"),
)  # fmt: skip


def test_what_cannot_be_done_is_refused_with_the_reason(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        await base.put(patient())
        for method, path, body, headers, status, says in BAD:
            case = f"{method} {path[:60]} {(body or b'')[:60]!r} {headers}"
            reply = await base.send(method, path, body, **headers)
            assert reply.status == status, f"{case}: {reply.status} {reply.body[:300]!r}"
            assert says in reply.issue, f"{case}: {reply.issue}"
            assert "999900006" not in reply.issue

    served(dsn, scenario)


def test_a_refused_method_is_told_with_those_that_work(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        reply = await base.send("PATCH", "Patient/p1", P)

        assert reply.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PUT"

    served(dsn, scenario)


def test_a_body_over_the_limit_is_refused_before_it_is_sent(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        port = int(base.url.split(":")[2].split("/")[0])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"Content-Type: application/fhir+json\r\nContent-Length: 99999999\r\n\r\n"
        )
        async with asyncio.timeout(10):
            status = await reader.readline()
        writer.close()

        assert status.split()[1] == b"413"

    served(dsn, scenario)


def test_an_error_is_told_in_the_format_asked(dsn: str) -> None:
    async def scenario(base: Base) -> None:
        reply = await base.get("Patient/none", accept="application/fhir+xml")

        assert reply.status == 404
        assert reply.body.lstrip().startswith((b"<?xml", b"<OperationOutcome"))

    served(dsn, scenario)


_TEXT = st.text(alphabet="aZ09._-$:|,%&=?/\\\"'<>é€\t ;()", max_size=12)


def test_no_address_leads_to_a_failure_of_ours(dsn: str) -> None:
    @settings(
        max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(st.lists(st.tuples(_TEXT, _TEXT), min_size=12, max_size=12))
    def holds(pairs: list[tuple[str, str]]) -> None:
        asked.extend(pairs)

    asked: list[tuple[str, str]] = []
    holds()

    async def scenario(base: Base) -> None:
        for place, (name, value) in enumerate(asked):
            path = ("Patient?{n}={v}", "Patient/{n}/{v}", "Observation/$lastn?code{n}={v}")[
                place % 3
            ]
            reply = await base.get(path.format(n=name, v=value).replace("\t", "%09"))
            assert reply.status < 500, (name, value, reply.body)

    served(dsn, scenario)


@pytest.mark.parametrize("version", list(FhirVersion))
def test_no_answer_repeats_what_may_be_a_bsn(dsn: str, version: FhirVersion) -> None:
    async def scenario(base: Base) -> None:
        for path in (
            "999900006",
            "Patient/999900006",
            "Patient?999900006=1",
            "Patient?birthdate=999900006",
            "Patient?_include=999900006",
            "Patient?_sort=999900006",
            "Patient/999900006?999900006=1",
            "Patient?_page=999900006",
        ):
            reply = await base.get(path)
            assert reply.status >= 400
            assert not re.search("999900006", reply.body.decode()), path

    served(dsn, scenario, version)
