"""What nothing else expects: the pending step's prompt as a new message, never silence."""

from __future__ import annotations

from datetime import timedelta

from aiogram import Bot, Router
from aiogram.enums import ChatType
from aiogram.types import ChatMemberUpdated, Message

from handlers import keyboards
from handlers.filters import InGroup
from handlers.greeting import greet
from handlers.reply import Reply
from handlers.routes import Routes
from handlers.screens import Screen
from handlers.states import Registration
from handlers.turn import Event, Room, Turn
from storage.accounts import Accounts
from storage.clock import Clock
from storage.leases import Leases

GROUP_SILENCE = timedelta(minutes=10)


def add_to(routes: Routes) -> None:
    """Route what is left of a private chat: messages and presses. Added last."""
    routes.rest(pending)


def create_router() -> Router:
    """Route what comes from elsewhere: groups, blocking."""
    router = Router(name="elsewhere")
    router.message.register(point_to_private_chat, InGroup())
    router.my_chat_member.register(note_blocking)
    return router


async def pending(event: Event, turn: Turn) -> Reply:
    """Ask the pending step again; who cancelled is only offered to go on; who is confirmed gets the final message."""
    if turn.is_first:
        return greet(turn)
    if turn.talk.paused:
        return turn.say(Screen(turn.html("menu-paused"), keyboards.cancel(turn)))
    return turn.say(turn.prompt(), by_http=turn.step == Registration.done.state)


async def point_to_private_chat(message: Message, bot: Bot, room: Room, leases: Leases) -> Reply | None:
    """Answer a command or mention addressed to the bot with a link to the private chat, once per 10 minutes."""
    if not _is_addressed(message, f"@{room.product.bot_username}".casefold()):
        return None
    if not await leases.once(f"group:{bot.id}:{message.chat.id}", GROUP_SILENCE):
        return None
    language = room.texts.pick(message.from_user.language_code if message.from_user else None)
    screen = Screen(room.texts.html(language, "group-answer", url=f"https://t.me/{room.product.bot_username}?start=go"))
    return Reply(last=screen.send(message.chat.id, language))


def _is_addressed(message: Message, name: str) -> bool:
    said = message.text or message.caption or ""
    entities = message.entities or message.caption_entities or ()
    texts = [entity.extract_from(said).casefold() for entity in entities]
    return any(text == name or (text.startswith("/") and text.endswith(name)) for text in texts)


async def note_blocking(change: ChatMemberUpdated, accounts: Accounts, clock: Clock) -> None:
    """Remember who blocked the bot: nothing is sent to them until they come back."""
    if change.chat.type != ChatType.PRIVATE:
        # Being taken out of a group says nothing about who did it.
        return
    blocked = change.new_chat_member.status == "kicked"
    await accounts.mark_blocked(change.from_user.id, blocked=blocked, now=clock.now())
