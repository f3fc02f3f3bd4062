"""What goes on for ever in a node ends when the node does."""

import asyncio

from openldn.node.lifetime import stop


def test_work_that_loses_the_word_to_end_hears_it_again() -> None:
    heard = 0

    async def stubborn() -> None:
        nonlocal heard
        while heard < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                heard += 1

    async def run() -> None:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        await stop(task, again=0.01)
        assert task.done()

    asyncio.run(asyncio.wait_for(run(), 10))

    assert heard == 2
