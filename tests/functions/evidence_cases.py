"""Looking in the log of a national service, as its operator does, and judging what stands there."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from functions.balp import failures

from openldn.base.http import HttpClient, Reply
from openldn.base.runtime import new_uuid
from openldn.fhir.codec import Format, decode
from openldn.fhir.model import FhirVersion, Resource
from openldn.functions.audit.catalogue import ROWS


async def asked(operator: HttpClient, origin: str, path: str = "", **pairs: str) -> Reply:
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat(timespec="seconds")
    query = urlencode({"date": f"ge{since}", **pairs}) if not path else ""
    url = f"{origin}/api/audit{path}" + (f"?{query}" if query else "")
    return await operator.send("GET", url, deadline=10)


async def events(operator: HttpClient, origin: str, code: str) -> list[Resource]:
    """The events of this code, oldest first, each judged."""
    reply = await asked(operator, origin, _tag=code)
    assert reply.status == 200, reply.body
    found = [entry["resource"] for entry in json.loads(reply.body).get("entry", [])]
    for event in found:
        judge(event)
    return found[::-1]


async def only(operator: HttpClient, origin: str, code: str) -> Resource:
    """The one event of this code."""
    found = await events(operator, origin, code)
    assert len(found) == 1, f"{len(found)} events {code}"
    return found[0]


def judge(event: Resource) -> None:
    """By the table, by FHIR, and by the profile it claims."""
    row = ROWS[event["meta"]["tag"][0]["code"]]
    assert event["type"]["code"] == row.type.partition("#")[2]
    assert event["action"] in row.action.split("/")
    assert len(event["agent"]) >= len([w for w in row.agents if not w.endswith("?")])
    assert len(event.get("entity", [])) >= len([w for w in row.entities if not w.endswith("?")])
    assert decode(json.dumps(event).encode(), Format.JSON, FhirVersion.R4) == event
    assert failures(event) == []


def checks(event: Resource) -> str:
    """Authorization, treatment relation, consent, emergency."""
    [found] = [e for e in event["extension"] if e["url"].endswith("nen7513-checks")]
    return str(found["valueString"])


def count(event: Resource) -> int:
    [found] = [e for e in event["extension"] if e["url"].endswith("result-count")]
    return int(found["valueUnsignedInt"])


def subjects(event: Resource) -> list[str]:
    """By what an event knows its patient."""
    about = [e for e in event.get("entity", []) if e["type"]["code"] == "1"]
    return [str(e["what"]["identifier"]["value"]) for e in about]


def agents(event: Resource) -> dict[str, Any]:
    """Of each kind of agent its number."""
    return {
        agent["type"]["coding"][0]["code"]: agent["who"].get("identifier", {}).get("value", "")
        for agent in event["agent"]
    }


def profile(event: Resource) -> str:
    """The last word of the BALP profile it claims; empty when none."""
    claimed = event["meta"].get("profile", [""])
    return str(claimed[0]).rpartition("IHE.")[2]


async def exported(operator: HttpClient, origin: str) -> str:
    """Everything that is in the log."""
    reply = await asked(operator, origin, "/$export")
    assert reply.status == 200
    return reply.body.decode()


def correlated(headers: Mapping[str, str] | None = None) -> dict[str, str]:
    """Headers with a request id of their own."""
    return {"x-request-id": new_uuid(), **(headers or {})}
