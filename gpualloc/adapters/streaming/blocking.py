"""Calls that block, beside the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

_T = TypeVar("_T")


async def in_thread(call: Callable[[], _T]) -> _T:
    """What `call` gives or raises, made in a thread that nobody waits for at the end of the process.

    An executor would be waited for then, and a node that hangs would hold the process up.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_T] = loop.create_future()

    def work() -> None:
        try:
            result = call()
        except BaseException as caught:  # noqa: BLE001 - raised again where it is waited for
            error = caught
            _settle(loop, lambda: done.set_exception(error), done)
        else:
            _settle(loop, lambda: done.set_result(result), done)

    threading.Thread(target=work, name="blocking", daemon=True).start()
    return await done


def _settle(loop: asyncio.AbstractEventLoop, tell: Callable[[], None], done: asyncio.Future[_T]) -> None:
    def told() -> None:
        if not done.done():
            tell()

    try:
        loop.call_soon_threadsafe(told)
    except RuntimeError:
        return  # The loop is over, and so is whoever asked.
