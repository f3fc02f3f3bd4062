"""The words of the portal in Dutch and English."""

from pathlib import Path

from openldn.access.frame.words import LANGUAGES, Words, catalog, language_of

__all__ = ["FOLDER", "LANGUAGES", "Words", "language_of", "words"]
FOLDER = Path(__file__).parent / "words"


def words(language: str) -> Words:
    """The words of `language`, one of LANGUAGES."""
    return catalog(FOLDER, language)
