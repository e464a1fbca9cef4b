"""The one wiring place: builds every part from the settings, starts them in order, stops them in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from aiogram import Bot, Dispatcher
from aiogram.fsm.strategy import FSMStrategy
from aiohttp import web

from bot import telegram
from bot.courier import Courier
from bot.failures import StartFailed
from bot.gateways import chosen_gateways, sms_gateways
from bot.gateways.mail_domains import DnsMailDomains
from bot.jobs import Jobs
from bot.middlewares import TurnMiddleware
from bot.outgoing import create_courier
from bot.polling import Polling
from bot.practice.ground import Practice, practising
from bot.product import product_of
from bot.receive import Receiver
from bot.schedule import OutboxSchedule
from bot.settings import Settings
from bot.stores import Stores, open_stores
from bot.web import create_web
from bot.webhook_watch import kept
from handlers import create_routers
from handlers.ports import SmsGateway
from handlers.product import Product
from handlers.registration import done, steps
from handlers.turn import Room
from locales import Texts
from storage.clock import Clock
from storage.keys import Keys
from storage.leases import Leases

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class App:
    """What runs, for who waits for its end and for tests that look inside."""

    bot: Bot
    stores: Stores
    courier: Courier
    jobs: Jobs
    receiver: Receiver
    practice: Practice | None
    port: int
    serving: asyncio.Task[None] | None


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT. Raises StartFailed with one line for the operator."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    for line in settings.warnings():
        log.warning("%s", line)
    async with running(settings) as app:
        if app.practice is not None:
            # For whoever started it, so not a log.
            print(*app.practice.welcome(app.port), sep="\n", flush=True)
        ended = asyncio.create_task(_until(ending))
        waits = {ended, app.serving} if app.serving else {ended}
        done_first, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        log.info("stopping")
        for task in done_first:
            # Polling ends by itself only when it cannot go on: a refused token.
            task.result()


async def _until(event: asyncio.Event) -> None:
    await event.wait()


@asynccontextmanager
async def running(settings: Settings, *, clock: Clock | None = None) -> AsyncIterator[App]:
    """Serve inside the block. Parts start in the order they need each other and stop in reverse."""
    async with AsyncExitStack() as stack:
        stores = await open_stores(settings, clock, stack)
        practice = await _open_practice(settings, stack)
        bot = await telegram.open_bot(settings, practice.api if practice else None, stack)
        me = await telegram.introduce(bot)
        texts = Texts(default=settings.default_language)
        owner = os.urandom(8).hex()
        product = product_of(settings, me.username or "")
        gateways = sms_gateways(settings, stores.clock, practice.phone if practice else None)
        courier = await _courier(settings, stores, bot, texts, product, gateways, owner, stack)
        jobs = Jobs(
            stores.expiry, stores.leases, stores.conversations, stores.clock, bot_id=bot.id, wake=courier.wake,
            every=settings.cleanup_every, batch=settings.cleanup_batch,
        )  # fmt: skip
        dispatcher = _dispatcher(stores, bot, texts, courier, product)
        words = telegram.OwnWords(texts)
        receiver = Receiver(
            bot, dispatcher, stores.conversations,
            apology=words.apology, notice=words.outage, blocked=stores.blocked,
            limit=settings.updates_per_person, slow_down=words.slow_down,
        )  # fmt: skip

        hooked = settings.webhook_url is not None
        secret = webhook_secret(settings, stores.keys)
        checks = {"database": stores.database.ping, "redis": stores.redis_answers}
        application = create_web(receiver if hooked else None, secret, checks)
        if practice is not None:
            practice.page.add_to(application)
        port = await _listen(settings, application, stack)
        courier.start()
        stack.push_async_callback(courier.stop)
        jobs.start()
        stack.push_async_callback(jobs.stop)
        serving = await _receive(settings, bot, receiver, stores.leases, owner, secret, stack)
        log.info("serving @%s by %s on port %d", me.username, "webhook" if hooked else "polling", port)
        yield App(bot, stores, courier, jobs, receiver, practice, port, serving)


async def _open_practice(settings: Settings, stack: AsyncExitStack) -> Practice | None:
    """Play Telegram when there is no BOT_TOKEN. After the database, whose lock keeps a second process away."""
    if settings.bot_token is not None:
        return None
    path = settings.data_dir / "practice.json"
    log.warning("BOT_TOKEN is not set: practising with a local Bot API server, kept in %s", path)
    try:
        practice = practising(
            path, name=settings.product_name, host=settings.http_host, gateways=chosen_gateways(settings)
        )
        return await stack.enter_async_context(practice)
    except OSError as error:
        raise StartFailed(f"DATA_DIR: {path} cannot be used ({error.strerror}); write a folder of this user") from error


async def _courier(
    settings: Settings, stores: Stores, bot: Bot, texts: Texts, product: Product, gateways: list[SmsGateway],
    owner: str, stack: AsyncExitStack,
) -> Courier:  # fmt: skip
    for gateway in gateways:
        stack.push_async_callback(gateway.close)
    return create_courier(
        settings, outbox=stores.outbox, sends=stores.sends, accounts=stores.accounts, challenges=stores.challenges,
        gateways=gateways, bot=bot, texts=texts, product=product, clock=stores.clock,
        chance=random.SystemRandom(), owner=owner,
    )  # fmt: skip


def _dispatcher(stores: Stores, bot: Bot, texts: Texts, courier: Courier, product: Product) -> Dispatcher:
    """Return the conversation; what handlers ask for by name stands here."""
    room = Room(texts, product, stores.conversations, steps.STEPS, done.prompt, courier.wake)
    dispatcher = Dispatcher(
        storage=stores.conversations, events_isolation=stores.conversations, fsm_strategy=FSMStrategy.USER_IN_CHAT,
        room=room, accounts=stores.accounts, challenges=stores.challenges, leases=stores.leases, clock=stores.clock,
        courier=courier, schedule=OutboxSchedule(bot, stores.outbox), mail_domains=DnsMailDomains(),
    )  # fmt: skip
    # Inside aiogram's own FSM middleware, which has found the open conversation by then.
    dispatcher.update.outer_middleware(TurnMiddleware(room, stores.accounts, stores.clock))
    dispatcher.include_routers(*create_routers())
    return dispatcher


async def _receive(
    settings: Settings, bot: Bot, receiver: Receiver, leases: Leases, owner: str, secret: str, stack: AsyncExitStack
) -> asyncio.Task[None] | None:
    """Let updates in, as the last thing to start and the first to stop; returns the polling task, if any."""
    # Nobody waits for it, and it is a call for each language.
    announcing = asyncio.create_task(telegram.announce(bot, settings), name="announcing")
    stack.push_async_callback(_given_up, announcing)
    if settings.webhook_url is not None:
        set_webhook = partial(telegram.set_webhook, bot, settings.webhook_url, secret)
        await stack.enter_async_context(kept(bot, set_webhook))
        return None
    polling = Polling(bot, receiver, leases, owner)
    task = asyncio.create_task(polling.run(), name="polling")

    async def stop() -> None:
        polling.stop()
        with contextlib.suppress(Exception):
            await task

    stack.push_async_callback(stop)
    return task


async def _given_up(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _listen(settings: Settings, application: web.Application, stack: AsyncExitStack) -> int:
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=3.5)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, settings.http_host, settings.http_port, reuse_address=True)
    try:
        await site.start()
    except OSError as error:
        raise StartFailed(
            f"HTTP_PORT: {settings.http_host}:{settings.http_port} cannot be used ({error.strerror}); write a free port"
        ) from error
    return int(runner.addresses[0][1])


def webhook_secret(settings: Settings, keys: Keys) -> str:
    """Return WEBHOOK_SECRET, or one derived from SECRET_KEY: the same on every replica."""
    given = settings.webhook_secret
    return given.get_secret_value() if given else keys.derive("webhook secret").hex()
