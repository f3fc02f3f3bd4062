"""The role `functions`: the index, the pseudonyms and the consents of one operator, together.

Each has its own database, certificate and port, as if it ran alone; a small installation saves
two processes.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from openldn.app import Role, Served
from openldn.app.consent import ConsentSettings, consent
from openldn.app.localization import LocalizationSettings, localization
from openldn.app.pseudonyms import PseudonymsSettings, pseudonyms
from openldn.base.settings import Settings


class FunctionsSettings(Settings, frozen=True):
    """Settings of the role `functions`: those of each function that runs."""

    pseudonyms: PseudonymsSettings
    localization: LocalizationSettings
    consent: ConsentSettings


@asynccontextmanager
async def functions(settings: FunctionsSettings) -> AsyncIterator[tuple[Served, ...]]:
    """The three functions, each behind its own gateway."""
    async with AsyncExitStack() as stack:
        yield (
            *await stack.enter_async_context(pseudonyms(settings.pseudonyms)),
            *await stack.enter_async_context(localization(settings.localization)),
            *await stack.enter_async_context(consent(settings.consent)),
        )


ROLE = Role(FunctionsSettings, functions)
