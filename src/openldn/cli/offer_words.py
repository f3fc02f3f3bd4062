"""How offers are told on a terminal, in Dutch and English. Not a command."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import Any

from rich.markup import escape
from rich.table import Table

Shown = dict[str, Any]


class Language(StrEnum):
    """The languages in which offers are told."""

    NL = "nl"
    EN = "en"


# word of the interface -> Dutch, English
_WORDS = {
    "requested": ("aangeboden", "offered"),
    "received": ("ontvangen", "received"),
    "accepted": ("geaccepteerd", "accepted"),
    "rejected": ("geweigerd", "refused"),
    "cancelled": ("ingetrokken", "withdrawn"),
    "in-progress": ("loopt", "in progress"),
    "completed": ("afgerond", "completed"),
    "failed": ("mislukt", "failed"),
    "entered-in-error": ("vergissing", "a mistake"),
    "counter-proposed": ("andere datum voorgesteld", "another date proposed"),
    "selected": ("gekozen", "selected"),
    "sent": ("verstuurd", "sent"),
    "offer": ("naar", "to"),
    "from": ("van", "from"),
    "nobody": ("niemand", "nobody"),
    "us": ("wij", "us"),
    "them": ("de ander", "them"),
    "turn": ("aan zet", "whose turn"),
    "status": ("stand", "status"),
    "who": ("met wie", "with whom"),
    "what": ("wat", "what"),
    "changed": ("gewijzigd (UTC)", "changed (UTC)"),
    "may": ("wij kunnen", "we can"),
    "nothing": ("niets", "nothing"),
    "reason": ("reden", "reason"),
    "note": ("opmerking", "note"),
    "proposed": ("voorgesteld", "proposed"),
    "stop": ("verzoek te stoppen", "asked to stop"),
    "expires": ("geldt tot", "stands until"),
    "delivery": ("bezorging", "delivery"),
    "delivered": ("bezorgd", "delivered"),
    "waiting": ("nog niet bezorgd", "not yet delivered"),
    "pending": (
        "het antwoord is veilig opgeslagen en onderweg; de aanbieder heeft het nog niet",
        "the answer is safe and on its way; the placer does not have it yet",
    ),
}


def word(text: str, lang: Language) -> str:
    """What people call it."""
    return _WORDS.get(text, (text, text))[0 if lang is Language.NL else 1]


def status(offer: Shown, lang: Language) -> str:
    """Where it stands, in words."""
    business = offer["business_status"]
    whole = word(offer["status"], lang)
    return f"{whole} ({word(business, lang)})" if business else whole


def turn(offer: Shown, lang: Language) -> str:
    """Who is waited for, seen from here."""
    ours = "placer" if offer["side"] == "sent" else "fulfiller"
    told = ["us" if one == ours else "them" for one in offer["turn"]]
    return ", ".join(word(one, lang) for one in sorted(told, reverse=True)) or word("nobody", lang)


def said(offer: Shown, lang: Language) -> str:
    """One offer in one line, and whether our answer is still on its way."""
    way = word("offer" if offer["side"] == "sent" else "from", lang)
    line = f"{offer['id']}  {way} {_other(offer)}: {status(offer, lang)}"
    pending = offer.get("pending") or {}
    return f"{line}\n{word('pending', lang)}" if pending.get("state") == "waiting" else line


def table(offers: Sequence[Shown], lang: Language) -> Table:
    """Offers, one in each row; not about whom."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("id", "who", "what", "status", "turn", "changed"):
        shown.add_column(word(column, lang), no_wrap=column == "id", overflow="fold")
    for one in offers:
        way = word("offer" if one["side"] == "sent" else "from", lang)
        what = f"{one['exchange']} {one['use_case']}".strip()
        cells = (one["id"], f"{way} {_other(one)}", what, status(one, lang), turn(one, lang))
        shown.add_row(*map(escape, (*cells, _moment(one["changed"]))))
    return shown


def details(offer: Shown, lang: Language) -> Iterator[str]:
    """One offer, line by line; not about whom."""
    yield said(offer, lang)
    yield ""
    for name, text in _facts(offer, lang):
        if text:
            yield f"{word(name, lang):<20}{text}"
    yield ""
    for row in offer["history"]:
        who = row["person"] or row["organization"]
        why = row["reason"]["text"] if row["reason"] else ""
        told = f"{_moment(row['moment'])}  {row['event']:<10}{word(row['state'], lang)}  {who}"
        yield f"{told}: {why}" if why else told


def _facts(offer: Shown, lang: Language) -> Iterator[tuple[str, str]]:
    yield "what", f"{offer['exchange']} {offer['use_case']}".strip()
    yield "turn", turn(offer, lang)
    acts = ", ".join(a["event"] for a in offer["actions"])
    yield "may", acts or word("nothing", lang)
    yield "reason", offer["reason"]["text"] if offer["reason"] else ""
    yield "note", offer["note"]
    proposed = offer["proposed"]
    yield "proposed", _moment(proposed["start"]) if proposed else ""
    stop = offer.get("stop") or {}
    words = (stop.get("reason", ""), stop.get("answer", ""))
    said = ": ".join((word(stop.get("state", ""), lang), *filter(None, words)))
    yield "stop", said if stop else ""
    yield "expires", _moment(offer["expires"])
    delivery = offer["delivery"]
    yield "delivery", word(delivery["state"], lang) if delivery else ""
    pending = offer["pending"]
    yield "", f"{pending['event']}: {pending['message']}" if pending and pending["message"] else ""


def _other(offer: Shown) -> str:
    party = offer["fulfiller" if offer["side"] == "sent" else "placer"]
    return party["name"] or f"URA {party['ura']}"


def _moment(text: str) -> str:
    return text.partition(".")[0].removesuffix("Z").replace("T", " ")
