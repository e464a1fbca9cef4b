"""A stock bot, as aiogram's documentation shows it: RedisStorage, RedisEventIsolation, a webhook, answers by HTTP.

It has less to do than this bot: no SMS (it says the code in its answer), no limits, no rivals, no outbox, one language;
a row is written at each step. It is given what it would fail without: a database that waits for its lock, as many Redis
connections as it likes (redis-py 8 raises beyond 100). With STOCK_WAL=1 SQLite writes ahead (WAL), as this bot has it
do: no documentation of the framework's says so, but who knows SQLite does it. Either way commits reach the disk.
Logging is the documentation's: INFO, aiohttp's access log with it; this bot runs with its own default, INFO too. Both
write to a file.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware, Bot, Dispatcher, F, Router
from aiogram.client.session.aiohttp import AiohttpSession
from aiogram.client.telegram import TelegramAPIServer
from aiogram.filters import Command, CommandStart
from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State, StatesGroup
from aiogram.fsm.storage.redis import RedisStorage
from aiogram.types import KeyboardButton, Message, ReplyKeyboardMarkup, ReplyKeyboardRemove, TelegramObject
from aiogram.webhook.aiohttp_server import SimpleRequestHandler, setup_application
from aiohttp import web
from sqlalchemy import BigInteger, event
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

WEBHOOK_SECRET = os.environ["WEBHOOK_SECRET"]
form_router = Router()


class Base(DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    name: Mapped[str]
    email: Mapped[str | None]
    terms: Mapped[bool] = mapped_column(default=False)
    phone: Mapped[str | None]
    confirmed: Mapped[bool] = mapped_column(default=False)


class Form(StatesGroup):
    email = State()
    terms = State()
    phone = State()
    code = State()


class DbSessionMiddleware(BaseMiddleware):
    def __init__(self, session_pool: async_sessionmaker[AsyncSession]) -> None:
        super().__init__()
        self.session_pool = session_pool

    async def __call__(
        self,
        handler: Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]],
        event: TelegramObject,
        data: dict[str, Any],
    ) -> Any:
        async with self.session_pool() as session:
            data["session"] = session
            return await handler(event, data)


async def save(session: AsyncSession, message: Message, **values: Any) -> None:
    assert message.from_user is not None
    user = await session.get(User, message.from_user.id)
    if user is None:
        user = User(id=message.from_user.id, name=message.from_user.full_name)
        session.add(user)
    for name, value in values.items():
        setattr(user, name, value)
    await session.commit()


@form_router.message(CommandStart())
async def command_start(message: Message, state: FSMContext, session: AsyncSession) -> None:
    await save(session, message)
    await state.set_state(Form.email)
    await message.answer(
        "Здравствуйте! После регистрации Вы сможете познакомиться с системой и протестировать функционал, оценить её "
        "работу, воспользоваться акциями и пригласить коллег.\n\nНапишите адрес электронной почты.",
        reply_markup=ReplyKeyboardRemove(),
    )


@form_router.message(Command("cancel"))
@form_router.message(F.text.casefold() == "cancel")
async def cancel_handler(message: Message, state: FSMContext) -> None:
    current_state = await state.get_state()
    if current_state is None:
        return
    logging.info("Cancelling state %r", current_state)
    await state.clear()
    await message.answer("Cancelled.", reply_markup=ReplyKeyboardRemove())


@form_router.message(Form.email, F.text.contains("@"))
async def process_email(message: Message, state: FSMContext, session: AsyncSession) -> None:
    await state.update_data(email=message.text)
    await save(session, message, email=message.text)
    await state.set_state(Form.terms)
    await message.answer(
        "Теперь условия использования. Нажимая кнопку Регистрация, вы соглашаетесь с нашими Условиями использования.",
        reply_markup=ReplyKeyboardMarkup(keyboard=[[KeyboardButton(text="Регистрация")]], resize_keyboard=True),
    )


@form_router.message(Form.terms, F.text.casefold() == "регистрация")
async def process_terms(message: Message, state: FSMContext, session: AsyncSession) -> None:
    await state.update_data(terms=True)
    await save(session, message, terms=True)
    await state.set_state(Form.phone)
    await message.answer(
        "Поделитесь своим контактом кнопкой внизу или напишите номер.",
        reply_markup=ReplyKeyboardMarkup(
            keyboard=[[KeyboardButton(text="Поделиться контактом", request_contact=True)]], resize_keyboard=True
        ),
    )


@form_router.message(Form.phone, F.text.regexp(r"^\+\d{11}$"))
async def process_phone(message: Message, state: FSMContext, session: AsyncSession) -> None:
    code = f"{secrets.randbelow(10**6):06d}"
    await state.update_data(phone=message.text, code=code)
    await save(session, message, phone=message.text)
    await state.set_state(Form.code)
    await message.answer(f"Напишите шесть цифр: {code}", reply_markup=ReplyKeyboardRemove())


@form_router.message(Form.code, F.text.regexp(r"^\d{6}$"))
async def process_code(message: Message, state: FSMContext, session: AsyncSession) -> None:
    data = await state.get_data()
    if message.text != data["code"]:
        await message.answer("Неверный код")
        return
    await save(session, message, confirmed=True)
    await state.clear()
    await message.answer("Регистрация завершена\n\nДобро пожаловать!")


@form_router.message()
async def echo_handler(message: Message) -> None:
    await message.answer("Непонятно.")


def open_engine() -> AsyncEngine:
    engine = create_async_engine(f"sqlite+aiosqlite:///{os.environ['DATABASE']}", connect_args={"timeout": 60})

    if os.environ.get("STOCK_WAL") == "1":
        event.listen(engine.sync_engine, "connect", _write_ahead)
    return engine


def _write_ahead(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def main() -> None:
    engine = open_engine()
    storage = RedisStorage.from_url(os.environ["REDIS_URL"], connection_kwargs={"max_connections": 2**31})
    dp = Dispatcher(storage=storage, events_isolation=storage.create_isolation())
    dp.update.middleware(DbSessionMiddleware(async_sessionmaker(engine, expire_on_commit=False)))
    dp.include_router(form_router)

    async def on_startup(bot: Bot) -> None:
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        await bot.set_webhook(f"http://127.0.0.1:{os.environ['PORT']}/webhook", secret_token=WEBHOOK_SECRET)

    async def on_shutdown() -> None:
        await engine.dispose()

    dp.startup.register(on_startup)
    dp.shutdown.register(on_shutdown)
    session = AiohttpSession(api=TelegramAPIServer.from_base(os.environ["TELEGRAM_API_BASE"]))
    bot = Bot(token=os.environ["BOT_TOKEN"], session=session)
    app = web.Application()
    SimpleRequestHandler(dispatcher=dp, bot=bot, secret_token=WEBHOOK_SECRET).register(app, path="/webhook")
    setup_application(app, dp, bot=bot)
    web.run_app(app, host="127.0.0.1", port=int(os.environ["PORT"]))


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stdout)
    main()
