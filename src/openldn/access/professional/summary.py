"""One question as its page shows it: the patient, the sections with their state, the progress."""

from dataclasses import dataclass
from datetime import date

from openldn.access.professional.facts import Chapter, chapters
from openldn.access.professional.patients import Identity, contact_persons, identity
from openldn.access.professional.question import Answered, Planned, Question
from openldn.access.professional.readers import Library, at, library, text_of
from openldn.access.professional.words import Words
from openldn.fhir.model import Resource


@dataclass(frozen=True)
class Part:
    """A section with its facts, how complete it is, and the queries for it that failed."""

    chapter: Chapter
    state: str  # loading, failed, partial, complete, not_asked
    failures: tuple[tuple[Planned, Answered], ...]

    @property
    def key(self) -> str:
        """The key of the section."""
        return self.chapter.section.key

    @property
    def count(self) -> int:
        """How many facts came in."""
        return len(self.chapter.facts) + self.chapter.more


@dataclass(frozen=True)
class Summary:
    """Everything one page shows of one question."""

    question: Question
    identity: Identity
    parts: tuple[Part, ...]
    notices: tuple[str, ...]  # what the holder itself warns about
    every: tuple[Part, ...] = ()  # also the empty sections that no page shows

    @property
    def done(self) -> bool:
        """Whether nothing more will come."""
        return self.question.finished is not None

    @property
    def count(self) -> int:
        """How many facts came in."""
        return sum(part.count for part in self.parts)

    @property
    def patient_state(self) -> str:
        """How complete the answer about the patient is."""
        return self.question.state("patient")


def summary(question: Question, words: Words, today: date) -> Summary:
    """The question in these words; whatever came in, this gives a page."""
    received = question.resources
    notices = [r for r in received if r.get("resourceType") == "OperationOutcome"]
    patients = [r for r in received if r.get("resourceType") == "Patient"]
    rows = [r for r in received if r not in notices] + contact_persons(patients)
    shelf = library(words, rows)
    every = chapters(shelf, rows, complete=question.finished is not None)
    parts = tuple(_part(question, chapter) for chapter in every)
    return Summary(
        question,
        identity(shelf, received, question.bsn, today),
        tuple(p for p in parts if p.count or p.key != "other" or p.failures),
        tuple(_notices(notices)),
        parts,
    )


def _part(question: Question, chapter: Chapter) -> Part:
    key = chapter.section.key
    failures = tuple((q, a) for q, a in question.failures if q.section == key)
    # Contacts stand in Patient and their providers beside every fact: no query of their own.
    leading = {"contact_persons": "patient", "care_providers": "patient"}.get(key, key)
    state = question.state(key)
    return Part(chapter, question.state(leading) if state == "not_asked" else state, failures)


def _notices(outcomes: list[Resource]) -> list[str]:
    told = [
        text_of(text)
        for outcome in outcomes
        for issue in at(outcome, "issue")
        for text in [*at(issue, "diagnostics"), *at(issue, "details.text")][:1]
    ]
    return list(dict.fromkeys(filter(None, told)))[:20]


def shelf_of(question: Question, words: Words) -> Library:
    """Everything that came in, by its name, to tell one fact of it."""
    received = question.resources
    patients = [r for r in received if r.get("resourceType") == "Patient"]
    return library(words, [*received, *contact_persons(patients)])
