"""`python -m bot doctor`: looks at everything the bot needs, and says what is wrong and how to mend it.

It changes nothing and disturbs nobody: it may be run beside a serving process, and before the first start.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp

from bot.doctor_outside import Outside
from bot.doctor_stores import Stores
from bot.findings import Finding, Level, Look, bad, ok, warning
from bot.logs import mask
from bot.settings import Settings
from storage.clock import SystemClock

# Seconds that one look may take; they are taken at the same time.
WITHIN = 5.0
# Seconds for closing what was opened: a database that is away must not hold the answer up.
_CLOSED_WITHIN = 1.0


def run(settings: Settings) -> bool:
    """Print one line per finding; return whether nothing is bad."""
    # Whatever a part would log, a look finds out and tells.
    logging.disable(logging.CRITICAL)
    with asyncio.Runner() as runner:
        runner.get_loop().set_default_executor(_Unwaited())
        return runner.run(_examine(settings))


async def _examine(settings: Settings) -> bool:
    clean, worst = _cleaner(settings), Level.OK
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession())
        stores = Stores(settings, SystemClock())
        stack.push_async_callback(_close, stores)
        looks = looks_of(settings, Outside(settings, session, SystemClock()), stores)
        tasks = {name: asyncio.create_task(_bounded(look)) for name, look in looks.items()}
        for name, task in tasks.items():
            for finding in await task:
                worst = max(worst, finding.level)
                print(f"{finding.level.name.lower():<8} {name:<10} {clean(finding.says)}", flush=True)
    return worst < Level.BAD


def looks_of(settings: Settings, outside: Outside, stores: Stores) -> dict[str, Look]:
    """Return what is looked at, in the order it is told."""

    async def settings_look() -> list[Finding]:
        return [warning(line) for line in settings.warnings()] or [ok("nothing to say about them")]

    return {
        "settings": settings_look,
        "disk": stores.disk,
        "database": stores.database,
        "redis": stores.redis,
        "token": outside.token,
        "webhook": outside.webhook,
        "address": outside.address,
        "gateways": outside.gateways,
        "mail": outside.mail,
        "crm": outside.crm,
        "events": stores.events,
        "clock": outside.clock,
        "times": stores.clock,
    }


async def _bounded(look: Look) -> list[Finding]:
    try:
        async with asyncio.timeout(WITHIN):
            return await look()
    except TimeoutError:
        return [bad(f"does not answer within {WITHIN:.0f} s")]
    except Exception as error:
        # A mistake of the doctor's own must not keep the other findings from being told.
        return [bad(f"could not be looked at ({type(error).__name__})")]


async def _close(stores: Stores) -> None:
    await asyncio.wait([asyncio.ensure_future(stores.close())], timeout=_CLOSED_WITHIN)


def _cleaner(settings: Settings) -> Callable[[str], str]:
    """Return what takes secrets and personal data out of a line, wherever they came from."""
    secrets = set(settings.secrets())
    for secret in settings.secrets():
        if "://" in secret:
            password = urlsplit(secret).password or ""
            secrets |= {password, unquote(password)}
    known = sorted((secret for secret in secrets if secret), key=len, reverse=True)

    def clean(text: str) -> str:
        for secret in known:
            text = text.replace(secret, "<secret>")
        return " ".join(mask(text).split())

    return clean


class _Unwaited(ThreadPoolExecutor):
    """Threads that nobody waits for at the end: looking a name up may take half a minute and cannot be cut."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run it in a thread of its own."""
        future: Future[Any] = Future()

        def work() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        return future
