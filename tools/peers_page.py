"""Writes docs/reference/peers.md out of the profiles: every profile, field and quirk."""

import inspect
import re
from collections.abc import Iterator

import msgspec

from openldn.trust import peers

_COMMENT = re.compile(r"^    (\w+): [^#\n]*(?:#\s*(.*))?$", re.M)

# Published examples that contradict themselves: where, what is wrong, the reason code.
BROKEN = (
    (
        "Nuts RFC023 §4.1",
        "the DID says `O:OLVG Oost`, the subject `Ziekenhuis Oost`",
        "vc.policy",
    ),
    (
        "Nuts RFC023 §4.1",
        "`x5t#S256` of the leaf equals the fingerprint of its authority",
        "x509.x5t",
    ),
    (
        "Nuts RFC023 §5.3",
        "`did:x509:subject:O:Amsterdam` lacks version, algorithm and fingerprint",
        "did.x509.form",
    ),
    ("NL-GF IG, X509Credential", "`kid` has the prefix `did:x509:0:sha256:` twice", "did.kid"),
    ("NL-GF IG, X509Credential", "keys of the DID in lower case (`o:`)", "did.x509.key"),
    ("NL-GF IG, X509Credential", "values encoded twice (`%2527`)", "did.x509.value"),
    ("NL-GF IG, X509Credential", "`L` differs by an apostrophe", "x509.policy"),
    ("NL-GF IG, X509Credential", "`sub` is the did:x509 itself", "vc.subject"),
    (
        "NL-GF IG, DeziUserCredential",
        "months and days swapped (`2026-31-07`); proof type `DeziIDJWT` in one place, "
        "`DeziIDJWT07` elsewhere; UZI number in the text differs from the data",
        "dezi-vc.version",
    ),
    (
        "NL-GF IG, GFI-003",
        "mixes `BitstringStatusListEntry`, `StatusList2021Credential`, `validFrom` and "
        "`ValidUntil`",
        "status.list",
    ),
    ("NL-GF IG, GFI-004", "a presentation that lives a year, without a nonce", "vp.lifetime"),
    (
        "NL-GF IG, GFI-005",
        "links two versions of DPoP (draft 04 and RFC 9449); we follow RFC 9449",
        "dpop.ath",
    ),
    (
        "VIPLive manual",
        "the organization is an AGB OID where Twiin expects a URA",
        "assertion.iss",
    ),
)


def text() -> str:
    """The page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Peer profiles\n"
    yield "What is agreed with each kind of peer, as data that can be checked.\n"
    yield (
        "A profile is a JSON file in `src/openldn/trust/peers/data`; its schema stands beside the "
        "folder as `schema.json`. An unknown field, dialect, algorithm or quirk is refused when it "
        "is loaded. `none` and HS* cannot even be written. Code branches on fields, never on names."
    )
    yield "\n## Fields\n\n| field | what |\n|---|---|"
    for field, said in _fields():
        yield f"| `{field}` | {said} |"
    yield "\n## Quirks\n\n| name | what |\n|---|---|"
    for name, said in sorted(peers.QUIRKS.items()):
        yield f"| `{name}` | {said} |"
    yield "\n## Profiles"
    for found in peers.profiles().values():
        yield from _profile(found)
    yield from _broken()


def _fields() -> Iterator[tuple[str, str]]:
    said = dict(_COMMENT.findall(inspect.getsource(peers.Profile)))
    for field in msgspec.structs.fields(peers.Profile):
        yield field.name, said.get(field.name) or field.name.replace("_", " ")


def _profile(found: peers.Profile) -> Iterator[str]:
    yield f"\n### {found.name}\n\n| field | value |\n|---|---|"
    for field in msgspec.structs.fields(peers.Profile):
        value = getattr(found, field.name)
        if field.name != "name" and value not in ((), "", frozenset()):
            yield f"| `{field.name}` | {_value(value)} |"


def _value(value: object) -> str:
    if isinstance(value, msgspec.Struct):
        parts = {k: v for k, v in msgspec.structs.asdict(value).items() if v}
        return "; ".join(f"{k}: {_value(v)}" for k, v in parts.items()) or "–"
    if isinstance(value, tuple | frozenset):
        return ", ".join(map(str, value if isinstance(value, tuple) else sorted(value)))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _broken() -> Iterator[str]:
    yield "\n## Published examples that are refused\n"
    yield (
        "These contradict the text they illustrate. They are refused, with the reason code of the "
        "check that notices first; never use one as a test vector of your own."
    )
    yield "\n| where | what is wrong | reason code |\n|---|---|---|"
    for where, wrong, code in BROKEN:
        yield f"| {where} | {wrong} | `{code}` |"
