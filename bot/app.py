"""The one wiring place: builds every part from the settings, starts them in order, stops them in reverse."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from aiogram import Bot, Dispatcher
from aiohttp import web

from bot import telegram
from bot.courier import Courier
from bot.directory import open_elsewhere
from bot.dispatching import create_dispatcher
from bot.event_delivery import telling_crm
from bot.failures import StartFailed
from bot.gateways import chosen_gateways, gateways_of
from bot.gateways.mail_domains import DnsMailDomains
from bot.jobs import Jobs
from bot.mail import Mail, open_mail
from bot.metrics import Counters, Metrics
from bot.outgoing import create_courier
from bot.pictures import DrawnPictures
from bot.polling import Polling
from bot.practice.ground import Practice, practising
from bot.product import product_of
from bot.receive import Receiver
from bot.referral_pages import ReferralPages
from bot.reports import Reports, report_urls
from bot.routing import LearnedRoutes, routes_of, sending_of
from bot.schedule import OutboxSchedule
from bot.settings import Settings
from bot.sign_in import SignIn
from bot.site import open_site
from bot.social import Social, open_social
from bot.stores import Engine, Stores, open_engine, open_stores
from bot.web import Part, create_web
from bot.webhook_watch import kept
from handlers.ports import Gateway, Pictures
from handlers.product import Product
from handlers.registration import done, steps
from handlers.registration.elsewhere import Elsewhere
from handlers.turn import Room
from locales import Texts
from storage.clock import Clock
from storage.conversion import Conversion
from storage.keys import Keys
from storage.leases import Leases
from storage.outbox import INVITATION

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
        gateways = _gateways(settings, stores, practice, stack)
        routes, conversion = routes_of(settings, gateways, random.SystemRandom()), Conversion(stores.database)
        engine = open_engine(settings, stores, sending_of(settings, routes))
        site = open_site(settings, stores, texts, product)
        mail = open_mail(settings, stores, site, texts, product, owner)
        courier = _courier(settings, stores, engine, bot, texts, product, gateways, owner, mail)
        jobs = _jobs(settings, stores, bot.id, courier, _learning(routes, conversion, stores.clock))
        counters = Counters()
        sign_in = SignIn(settings, stores.keys, product.bot_username)
        social = open_social(settings, stores, site, bot.id, courier.wake, stack)
        elsewhere = open_elsewhere(settings, stores, stack)
        pictures = DrawnPictures(product.name)
        dispatcher = _dispatcher(
            stores, engine, bot, texts, courier, product, counters, sign_in, social, elsewhere, pictures
        )
        receiver = _receiver(settings, stores, bot, dispatcher, telegram.OwnWords(texts))

        hooked = settings.webhook_url is not None
        secret = webhook_secret(settings, stores.keys)
        application = _application(settings, stores, receiver if hooked else None, secret, counters, conversion)
        reports = Reports(gateways, engine.sends, stores.clock, settings.base_url(), courier.wake)
        pages = [ReferralPages(site, stores.partners, pictures)] if site else []
        parts: list[Part] = [sign_in, social, mail, reports, *pages, *([practice.page] if practice else [])]
        for part in parts:
            part.add_to(application)
        port = await _listen(settings, application, stack)
        reports.listen()
        courier.start()
        stack.push_async_callback(courier.stop)
        await stack.enter_async_context(_telling_crm(settings, stores, bot.id, owner, courier))
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


def _gateways(settings: Settings, stores: Stores, practice: Practice | None, stack: AsyncExitStack) -> list[Gateway]:
    phone = practice.phone if practice else None
    gateways = gateways_of(settings, stores.clock, phone, report_urls(settings, stores.keys))
    for gateway in gateways:
        stack.push_async_callback(gateway.close)
    return gateways


def _courier(
    settings: Settings, stores: Stores, engine: Engine, bot: Bot, texts: Texts, product: Product,
    gateways: list[Gateway], owner: str, mail: Mail,
) -> Courier:  # fmt: skip
    return create_courier(
        settings, outbox=stores.outbox, sends=engine.sends, accounts=stores.accounts, challenges=engine.challenges,
        gateways=gateways, bot=bot, texts=texts, product=product, clock=stores.clock,
        chance=random.SystemRandom(), owner=owner, others={INVITATION: mail.delivery},
    )  # fmt: skip


def _telling_crm(
    settings: Settings, stores: Stores, bot_id: int, owner: str, courier: Courier
) -> AbstractAsyncContextManager[object]:
    forget = partial(stores.conversations.forget, bot_id)
    return telling_crm(settings, stores.database, stores.clock, owner=owner, forget=forget, wake=courier.wake)


def _jobs(
    settings: Settings, stores: Stores, bot_id: int, courier: Courier, learn: Callable[[], Awaitable[None]]
) -> Jobs:
    return Jobs(
        stores.expiry, stores.leases, stores.conversations, stores.clock, bot_id=bot_id, wake=courier.wake,
        every=settings.cleanup_every, batch=settings.cleanup_batch, learn=learn,
    )  # fmt: skip


def _learning(routes: LearnedRoutes, conversion: Conversion, clock: Clock) -> Callable[[], Awaitable[None]]:
    async def learn_routes() -> None:
        await routes.refresh(conversion, clock.now())

    return learn_routes


def _receiver(
    settings: Settings, stores: Stores, bot: Bot, dispatcher: Dispatcher, words: telegram.OwnWords
) -> Receiver:
    return Receiver(
        bot, dispatcher, stores.conversations,
        apology=words.apology, notice=words.outage, blocked=stores.blocked,
        limit=settings.updates_per_person, slow_down=words.slow_down,
    )  # fmt: skip


def _application(
    settings: Settings, stores: Stores, receiver: Receiver | None, secret: str, counters: Counters,
    conversion: Conversion,
) -> web.Application:  # fmt: skip
    checks = {"database": stores.database.ping, "redis": stores.redis_answers}
    application = create_web(receiver, secret, checks)
    metrics = Metrics(conversion, counters, stores.redis_answers, stores.clock, budget=settings.daily_budget)
    metrics.add_to(application)
    return application


def _dispatcher(
    stores: Stores, engine: Engine, bot: Bot, texts: Texts, courier: Courier, product: Product, counters: Counters,
    sign_in: SignIn, social: Social, elsewhere: Elsewhere, pictures: Pictures,
) -> Dispatcher:  # fmt: skip
    """Return the conversation; what handlers ask for by name stands here."""
    room = Room(texts, product, stores.conversations, steps.STEPS, done.prompt, courier.wake, sign_in, social.links)
    return create_dispatcher(
        room, stores.accounts, stores.clock, social.identities, counters,
        challenges=engine.challenges, leases=stores.leases, courier=courier, exports=stores.exports,
        schedule=OutboxSchedule(bot, stores.outbox), mail_domains=DnsMailDomains(), sign_ups=social.sign_ups,
        elsewhere=elsewhere, invitations=stores.invitations, pictures=pictures, **vars(stores.partners),
    )  # fmt: skip


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
