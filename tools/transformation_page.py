"""Writes docs/reference/transformation.md out of the maps: what differs, per type, and where."""

from collections.abc import Iterator

from openldn.fhir.definitions import definitions
from openldn.fhir.model import FhirVersion
from openldn.functions.transformation.categories import categories
from openldn.functions.transformation.maps import Map, Row, maps, vocabulary
from openldn.functions.transformation.specials import SPECIALS

_HEAD = """# Transformation

A resource of FHIR STU3 (zib2017) becomes one of R4 (zib2020) and the reverse, with a report of \
every path that did not come along.

Two systems that speak different versions can then exchange what both can say. `openldn transform \
FILE --to R4 --losses` does it for a file; `POST /transform` for a system.

## What it promises

- **Nothing is dropped silently.** Each path of the source is carried over, or stands in the loss \
report with its reason. What has no element in the other version but fits in an extension travels \
in the one that FHIR defines for it (`http://hl7.org/fhir/[version]/StructureDefinition/\
extension-[Path]`); it is listed as *kept*, and stands at its own place again on the way back.
- **No output that misleads.** A fatal issue gives no output but an OperationOutcome: no map for \
the type, `doNotPerform` that is true where STU3 cannot say it, a second dose that STU3 cannot \
hold, a modifier extension whose value does not fit, a status without counterpart, an output that \
is not valid by structure. A Bundle of type searchset, collection, history or batch-response goes \
on, with an OperationOutcome in the place of the resource; any other Bundle is one whole.
- **Nothing is rewritten.** Identifiers, authors, recorded times, decimals and narratives stay.
- **A Provenance (R4) for each output**: the source with its identifier, the version of every map \
that had a part, our Device as assembler.
- **Never presented as signed.** A signature holds for the bytes of the source; it is left out of \
the output, and the Provenance names the Provenance that carries it (parameter `signature`).
- **A demand that the source does not meet** (STU3 leaves `MedicationRequest.status` open, R4 does \
not) is filled with data-absent-reason `unknown`, which is taken away on the way back.
- It works on what it is given, keeps nothing and asks nobody: access stays as it was.

## The interface

`POST /transform?to=R4` with a resource as body, JSON or XML by Content-Type. `from` may be given \
(it is the other version), `signature` as often as needed (`Provenance/id`, relative or https). \
The answer is a Parameters resource of the version that was asked, in the format of Accept:

| parameter | resource |
|---|---|
| `resource` | the output |
| `losses` | an OperationOutcome: *warning* is gone, *information* is kept as an extension, \
*error* a resource of a Bundle that could not come along; `expression` is the path in the source |
| `provenance` | the Provenance, in the same version |

Without an output: status 422 and the OperationOutcome. Who calls is established by the gateway.

In code: `Engine().transform(resource, source, target, context)` is the pure port; \
`Transformation(clock, new_id).convert(…)` is the service, which checks the output and tells an \
audit log kind, versions, maps and counts, never content.

## Which version to send

`versions.choose(payloadMimeTypes, held, resource)`: the version at hand when the address offers \
it (`application/fhir+json; fhirVersion=4.0`) or does not tell its version; else the other one \
when there is a map; else a refusal.

## How a map is written

A file of rows per type in `functions/transformation/maps`, with an example beside it that is a \
test. An element with the same name and type in both versions needs no row: the official \
definitions say so, and they say where one repeats and the other does not (the first goes over, \
the others are kept). A row tells what differs: paths (`note.text`, `extension:URL`), a conversion \
by name, codes, what is filled in, what is refused. The rows are compiled to closures at first use.
"""


def text() -> str:
    """The whole page."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield _HEAD
    yield "## The maps\n"
    yield "| map | version | STU3 | R4 | what differs |\n|---|---|---|---|---|"
    for each in maps():
        yield f"| `{each.id}` | {each.version} | {each.stu3} | {each.r4} | {_told(each)} |"
    types = definitions(FhirVersion.STU3).resources
    count = sum(1 for each in maps() if each.stu3 in types)
    yield f"\n{count} resource types and {len(maps()) - count} data types.\n"
    yield from _words()
    yield from _categories()


def _told(each: Map) -> str:
    told = [t for row in each.row for t in _row(row, ("", ""))]
    return "; ".join(told) or "nothing but what its data types tell"


def _row(row: Row, within: tuple[str, str]) -> Iterator[str]:
    pairs = zip(within, (row.stu3, row.r4), strict=True)
    here, there = (f"{above}{p}" if p else "" for above, p in pairs)
    here, there = (p.replace("extension:", "extension ").rsplit("/", 1)[-1] for p in (here, there))
    how = f" ({row.convert})" if row.convert else ""
    codes = [f"{_last(a)} → {_last(b) or 'refused'}" for a, b in row.codes.items()]
    codes += [
        f"{_last(a)} ⇒ {_nearest(b)}" for a, b in row.back.items() if a not in {*row.codes.values()}
    ]
    more = f": {', '.join(codes)}" if codes else ""
    if row.refuse:
        yield f"`{there or here}` that is true is refused"
    elif row.fill is not None:
        yield f"`{there or here}` is `{row.fill}`"
    elif row.convert in SPECIALS and not (here and there):
        yield f"`{here or there}`{how}"
    elif not row.rows or here != there:
        yield (f"`{here}`" if here == there else f"`{here}` ↔ `{there}`") + how + more
    for inner in row.rows:
        yield from _row(inner, (f"{within[0]}{row.stu3}.", f"{within[1]}{row.r4}."))


def _last(code: str) -> str:
    return code.rpartition("|")[2]


def _nearest(code: str) -> str:
    return {"": "refused", "-": "kept"}.get(code, _last(code))


def _words() -> Iterator[str]:
    words = vocabulary()
    yield "→ is STU3 to R4, ⇒ is R4 to STU3, where the two differ.\n"
    yield "## Addresses that differ\n"
    yield (
        f"`vocabulary` {words.version}: {len(words.systems)} code systems, and those of HL7 "
        "version 2 and 3, that moved to terminology.hl7.org; resource types: "
        + ", ".join(f"{a} ↔ {b}" for a, b in words.types.items())
        + ", also in references, fullUrl and requests.\n"
    )
    yield "A profile without counterpart is left out and told: it is a claim about the source.\n"
    yield "| profile in STU3 | in R4 |\n|---|---|"
    for pairs, sign in ((words.profiles, ""), (words.narrowed, " (more general: told as a loss)")):
        for one, two in pairs.items():
            yield f"| {_short(one)} | {_short(two)}{sign} |"
    yield "\n| extension in STU3 | in R4 |\n|---|---|"
    for row in words.extension:
        yield f"| {_short(row.stu3)} | {_short(row.r4)} |"
    yield "\nOther extensions keep their address.\n"


def _short(url: str) -> str:
    return f"`{url.rsplit('/', 1)[1]}`"


def _categories() -> Iterator[str]:
    shipped = categories()
    yield "## Categories\n"
    yield "AORTA's data categories as those of the national index; all are equivalent.\n"
    yield "| AORTA | category |\n|---|---|"
    for code, category in shipped.aorta.codes.items():
        yield f"| `{code}` | `{category}` |"
    yield "\nWhat an address with a capability code serves; this is our reading of the exchange.\n"
    yield "| capability | categories |\n|---|---|"
    for code, served in shipped.capabilities.codes.items():
        named = ", ".join(f"`{c}`" for c in served) or "none: it is about how, not what"
        yield f"| `{code.rsplit('/', 1)[-1]}` | {named} |"
