"""The holder's own choices, used for a moment and never longer than a change of them."""

import asyncio
from datetime import timedelta

from functions.consent_cases import MOMENT

from openldn.functions.consent.model import Choice
from openldn.functions.consent.noted import Noted


class Store:
    def __init__(self) -> None:
        self.now, self.read = MOMENT, 0
        self.noted = Noted(lambda: self.now)

    async def ask(self, key: bytes = b"jansen") -> int:
        """How often was read by then."""
        await self.noted.get(key, self.choices)
        return self.read

    async def choices(self) -> list[Choice]:
        self.read += 1
        return []


def test_choices_are_read_once_a_second_for_each_patient() -> None:
    async def run() -> list[int]:
        store = Store()
        found = [await store.ask(), await store.ask(), await store.ask(b"pietersen")]
        store.now += timedelta(milliseconds=999)
        found.append(await store.ask())
        store.now += timedelta(milliseconds=1)
        return [*found, await store.ask()]

    assert asyncio.run(run()) == [1, 1, 2, 2, 3]


def test_a_clock_that_is_set_back_makes_nothing_last_longer() -> None:
    async def run() -> list[int]:
        store = Store()
        found = [await store.ask()]
        store.now -= timedelta(hours=2)
        return [*found, await store.ask()]

    assert asyncio.run(run()) == [1, 2]


def test_what_is_changed_counts_at_once_also_while_it_is_being_read() -> None:
    async def run() -> list[int]:
        store = Store()
        found = [await store.ask()]
        store.noted.forget()
        found.append(await store.ask())

        async def meanwhile() -> list[Choice]:
            store.noted.forget()
            return await store.choices()

        await store.noted.get(b"visser", meanwhile)
        return [*found, store.read, await store.ask(b"visser")]

    assert asyncio.run(run()) == [1, 2, 3, 4]


def test_what_is_old_answers_as_old_as_it_was_when_its_reading_began() -> None:
    async def run() -> list[timedelta]:
        store = Store()

        async def slow() -> list[Choice]:
            store.now += timedelta(milliseconds=800)
            return []

        first = await store.noted.get(b"jansen", slow)
        store.now += timedelta(milliseconds=100)
        second = await store.noted.get(b"jansen", slow)
        return [first.at - MOMENT, second.at - MOMENT]

    assert asyncio.run(run()) == [timedelta(0)] * 2
