"""The reason for which the glass is broken, as a claim: the same in every dialect that has room.

Source: exchange patterns §7.3.
"""

from typing import Any

from openldn.trust.parties import Emergency

_LONGEST = {"case": 64, "code": 64, "text": 1000, "level": 100}  # characters
_LATEST = 2**36  # seconds since 1970


def told_of(emergency: Emergency) -> dict[str, str | int]:
    """The reason as a claim."""
    told = {name: str(getattr(emergency, name)) for name in _LONGEST}
    return {**told, "began": emergency.began}


def emergency_in(claim: object) -> Emergency | None:
    """The reason in a claim; None without one. ValueError when it is not whole."""
    if claim is None:
        return None
    values: dict[str, Any] = claim if isinstance(claim, dict) else {}
    texts = {name: values.get(name) for name in _LONGEST}
    for name, most in _LONGEST.items():
        text = texts[name]
        if not isinstance(text, str) or not 0 < len(text) <= most or not text.isprintable():
            raise ValueError(f"emergency.{name}")
    began = values.get("began")
    if type(began) is not int or not 0 <= began < _LATEST:
        raise ValueError("emergency.began")
    return Emergency(began=began, **{name: str(text) for name, text in texts.items()})
