"""The role `functions`: the index, the pseudonyms, the consents and the directory, together.

Each has its own database, certificate and port, as if it ran alone; a small installation saves
three processes.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from openldn.app import Role, Served
from openldn.app.addressing import AddressingSettings, addressing
from openldn.app.consent import ConsentSettings, consent
from openldn.app.localization import LocalizationSettings, localization
from openldn.app.pseudonyms import PseudonymsSettings, pseudonyms
from openldn.base.settings import Settings


class FunctionsSettings(Settings, frozen=True):
    """Settings of the role `functions`: those of each function that runs."""

    pseudonyms: PseudonymsSettings
    localization: LocalizationSettings
    consent: ConsentSettings
    addressing: AddressingSettings | None = None  # none: the directory runs elsewhere


@asynccontextmanager
async def functions(settings: FunctionsSettings) -> AsyncIterator[tuple[Served, ...]]:
    """These functions, each at its own door."""
    async with AsyncExitStack() as stack:
        served: tuple[Served, ...] = ()
        if settings.addressing is not None:
            served = await stack.enter_async_context(addressing(settings.addressing))
        yield (
            *served,
            *await stack.enter_async_context(pseudonyms(settings.pseudonyms)),
            *await stack.enter_async_context(localization(settings.localization)),
            *await stack.enter_async_context(consent(settings.consent)),
        )


ROLE = Role(FunctionsSettings, functions)
