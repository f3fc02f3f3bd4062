"""The parameters of a search or a removal, read into a filter.

Source: specification of localization §5.3, §5.4; rules L17-L21.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from openldn.base.errors import Issue, LdnError
from openldn.functions.localization.categories import AORTA, CATEGORIES, category_of
from openldn.functions.localization.model import NVI_IDENTIFIER, SOURCE_SYSTEMS, Filter
from openldn.functions.localization.profiles import Profile

_LARGEST_PAGE = 200
_USUAL_PAGE = 100
_IGNORED = {"_format"}  # read where the answer is written


@dataclass(frozen=True)
class Asked:
    """What a query string asks."""

    filter: Filter
    complete: bool = True  # every identifier that is given has a system and a value
    count: int = _USUAL_PAGE
    page: str = ""  # only ids beyond this one


def read_parameters(pairs: Sequence[tuple[str, str]], profile: Profile) -> Asked:
    """What these ask; raises LdnError(business-rule) that names an unknown or repeated one."""
    asked, seen = Asked(Filter()), set[str]()
    for name, value in pairs:
        if name in _IGNORED:
            continue
        narrows = profile.parameters.get(name)
        if narrows is None:
            known = ", ".join(sorted(profile.parameters))
            raise _wrong(f"an unknown parameter; {profile.name} knows {known}")
        if narrows in seen:
            raise _wrong(f"{name} stands twice; ask one at a time")
        seen.add(narrows)
        asked = _READERS[narrows](asked, value)
    return asked


def id_of(text: str) -> str:
    """The id of a List in the form we give it, or empty for what is none of ours."""
    try:
        return str(UUID(text)) if len(text) == 36 else ""
    except ValueError:
        return ""


def _subject(asked: Asked, value: str) -> Asked:
    system, token = _identifier(value)
    if not (system and token):
        return _incomplete(asked)
    if system != NVI_IDENTIFIER:
        raise _wrong(f"subject:identifier is {NVI_IDENTIFIER}|token")
    return replace(asked, filter=replace(asked.filter, token=token))


def _source(asked: Asked, value: str) -> Asked:
    system, text = _identifier(value)
    if not (system and text):
        return _incomplete(asked)
    found = replace(asked.filter, source=text)
    if system not in SOURCE_SYSTEMS:
        found = replace(found, nothing=True)  # no source has an identifier of that system
    return replace(asked, filter=found)


def _incomplete(asked: Asked) -> Asked:
    """FHIR: `|x` is an identifier that has no system, and every one of ours has one."""
    return replace(asked, complete=False, filter=replace(asked.filter, nothing=True))


def _category(asked: Asked, value: str) -> Asked:
    system, code = _identifier(value) if "|" in value else ("", value)
    code = AORTA[code] if not system and code not in CATEGORIES and code in AORTA else code
    return replace(asked, filter=replace(asked.filter, category=category_of(system, code)))


def _count(asked: Asked, value: str) -> Asked:
    if not (value.isascii() and value.isdigit() and 0 < len(value) < 7 and int(value)):
        raise _wrong(f"_count is a number from 1 to {_LARGEST_PAGE}")
    return replace(asked, count=min(int(value), _LARGEST_PAGE))


def _page(asked: Asked, value: str) -> Asked:
    if not id_of(value):
        raise _wrong("this page link is not one of ours; start again at the first page")
    return replace(asked, page=id_of(value))


_READERS: dict[str, Callable[[Asked, str], Asked]] = {
    "subject": _subject,
    "source": _source,
    "category": _category,
    "count": _count,
    "page": _page,
}


def _identifier(value: str) -> tuple[str, str]:
    system, bar, rest = value.rpartition("|") if value.count("|") == 1 else ("", "", value)
    return (system, rest) if bar else ("", value)


def _wrong(text: str) -> LdnError:
    return LdnError(Issue.BUSINESS_RULE, text)
