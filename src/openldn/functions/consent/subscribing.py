"""The subscription of a holder to a patient's choices: FHIR R4, made and checked.

Source: generic functions §4.3 (abonnementen); rule C08.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from openldn.base.errors import Issue, LdnError
from openldn.fhir.codec import Format
from openldn.fhir.identifiers import Bsn, Ura
from openldn.fhir.model import Resource
from openldn.functions.consent.model import Provider

BORN = "http://fhir.nl/StructureDefinition/Patient.birthDate"
GATEWAY = "http://fhir.nl/StructureDefinition/GatewaySystem"
SOURCE = "http://fhir.nl/StructureDefinition/SourceSystem"
EXTENSIONS = frozenset({BORN, GATEWAY, SOURCE})
PARAMETERS = ("patientid", "providerid", "providertype")
FORMATS = {"application/fhir+json": Format.JSON, "application/fhir+xml": Format.XML}


@dataclass(frozen=True)
class Subscribed:
    """Who wants to hear about whom, where and in which format."""

    patient: Bsn = field(repr=False)
    holder: Provider
    endpoint: str
    format: Format = Format.JSON
    born: date | None = field(default=None, repr=False)


def subscription(wanted: Subscribed, gateway: str = "", source: str = "") -> Resource:
    """The Subscription that asks for this; `gateway` and `source` are urn:oid: names of systems."""
    extensions: list[Any] = []
    if wanted.born:
        extensions.append({"url": BORN, "valueDate": wanted.born.isoformat()})
    systems = ((GATEWAY, gateway), (SOURCE, source))
    extensions += [{"url": url, "valueOid": oid} for url, oid in systems if oid]
    about = {
        "patientid": wanted.patient.value,
        "providerid": str(wanted.holder.ura or ""),
        "providertype": wanted.holder.kind,
    }
    return {
        "resourceType": "Subscription",
        **({"extension": extensions} if extensions else {}),
        "status": "requested",
        "reason": "OTV",
        "criteria": f"Consent?_query=otv&{urlencode(about)}",
        "channel": {
            "type": "rest-hook",
            "endpoint": wanted.endpoint,
            "payload": wanted.format.mime,
        },
    }


def read_subscription(given: Resource, hosts: Sequence[str]) -> Subscribed:
    """What is asked for; raises LdnError(business-rule) that names the element at fault.

    `hosts` ("host" or "host:port") are those that may be notified: nobody lets us call an
    address of its own choice.
    """
    _require(given.get("resourceType") == "Subscription", "Subscription")
    _require(given.get("status") == "requested", "Subscription.status")
    _require(given.get("reason") == "OTV", "Subscription.reason")
    extensions = given.get("extension") or []
    urls = [e.get("url") for e in extensions]
    known = set(urls) <= EXTENSIONS and len(urls) == len(set(urls))
    _require(known and "modifierExtension" not in given, "Subscription.extension")
    about = _criteria(str(given.get("criteria", "")))
    channel = given.get("channel") or {}
    _require(channel.get("type") == "rest-hook", "Subscription.channel.type")
    _require(channel.get("payload") in FORMATS, "Subscription.channel.payload")
    _require(_allowed(str(channel.get("endpoint", "")), hosts), "Subscription.channel.endpoint")
    return Subscribed(
        patient=Bsn.parse(about["patientid"]),
        holder=Provider(Ura.parse(about["providerid"]), about["providertype"]),
        endpoint=channel["endpoint"],
        format=FORMATS[channel["payload"]],
    )


def _criteria(text: str) -> dict[str, str]:
    type_, _, query = re.sub(r"\s", "", text).partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    found = dict(pairs)
    kind = found.get("providertype", "")
    plain = kind.isascii() and kind.isalnum() and len(kind) <= 20
    fits = (
        plain and type_ == "Consent" and found.get("_query") == "otv" and len(found) == len(pairs)
    )
    complete = set(found) == {"_query", *PARAMETERS} and all(found.values())
    _require(fits and complete, "Subscription.criteria")
    return found


def _allowed(endpoint: str, hosts: Sequence[str]) -> bool:
    if not endpoint.isascii() or not endpoint.isprintable() or len(endpoint) > 500:
        return False
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return False
    plain = not parts.username and not parts.query and not parts.fragment
    known = {host if ":" in host else f"{host}:443" for host in hosts}
    return parts.scheme == "https" and plain and f"{parts.hostname}:{port or 443}" in known


def _require(fits: bool, where: str) -> None:
    if not fits:
        text = f"{where} is not as agreed for a subscription to choices"
        raise LdnError(Issue.BUSINESS_RULE, text, where=where)
