"""Around every update of a person: open the turn, say refusals in words, keep the talk, hand services to handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiogram import BaseMiddleware
from aiogram.enums import ChatType
from aiogram.fsm.context import FSMContext
from aiogram.types import CallbackQuery, Message, TelegramObject, Update

from handlers.errors import explain
from handlers.meaning import offers_of
from handlers.screens import Screen
from handlers.social import recall
from handlers.states import Registration
from handlers.talk import Talk
from handlers.turn import Room, Turn
from storage.accounts import Accounts
from storage.clock import Clock
from storage.errors import Refusal
from storage.identities import Identities
from storage.models import AccountStatus, UpdateRef

Handler = Callable[[TelegramObject, dict[str, Any]], Awaitable[Any]]


class TurnMiddleware(BaseMiddleware):
    """Outer middleware of the update, inside aiogram's own: the FSM context it uses is the open conversation."""

    def __init__(self, room: Room, accounts: Accounts, clock: Clock, identities: Identities) -> None:
        """Take what all turns share, and where a lost conversation is rebuilt from."""
        self.room = room
        self.accounts = accounts
        self.clock = clock
        self.identities = identities

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Run one private message, edit or press as a turn; anything else passes as it is."""
        assert isinstance(event, Update)  # noqa: S101 - registered on the update observer only
        subject = event.message or event.edited_message or event.callback_query
        if subject is None or not _is_private(subject) or subject.from_user is None:
            return await handler(event, data)
        state: FSMContext = data["state"]
        update = UpdateRef(subject.from_user.id, event.update_id)
        turn = await self._open(subject, update, state)
        if isinstance(subject, Message):
            if event.edited_message is not None:
                if turn.talk.latest is None:
                    # Nobody knows any more which message was the newest: neither answer nor silence.
                    reply = turn.ask()
                    await state.set_data(turn.talk.dump())
                    return reply
                if subject.message_id != turn.talk.latest:
                    return None
                # An edit of the newest message is a new answer: the routers see it as a message.
                event = event.model_copy(update={"message": subject, "edited_message": None})
            turn.talk.latest = subject.message_id
        turn.interpret()
        data.update(turn=turn, raw_state=turn.step)
        try:
            reply = await handler(event, data)
        except Refusal as refusal:
            reply = await explain(refusal, turn, self.accounts)
        await state.set_data(turn.talk.dump())
        return reply

    async def _open(self, subject: Message | CallbackQuery, update: UpdateRef, state: FSMContext) -> Turn:
        """Load the talk; when Redis has none, rebuild it from the account, which is the truth."""
        kept = await state.get_data()
        if kept:
            turn = Turn(self.room, subject, update, Talk.load(kept), state, self.clock.now())
            turn.step = await state.get_state()
            turn.is_first, turn.talk.erased = turn.talk.erased, False
            nameless = turn.step == Registration.done.state and turn.talk.account is None
            if turn.talk.terms_version != self.room.product.terms_version or nameless:
                # New terms came with a restart: whoever is pending accepts them before anything else is taken.
                await turn.locate(await self.accounts.of(update.telegram_id))
            elif turn.talk.account is not None:
                await self.room.sign_in.ready()
            return turn
        account = await self.accounts.of(update.telegram_id)
        code = subject.from_user.language_code if subject.from_user else None
        language = account.language if account else self.room.texts.pick(code)
        # A lost record may have left the phone step's keyboard on the screen: the next prompt takes it away.
        pending = account is not None and account.status is AccountStatus.PENDING
        talk = Talk(language=language, keyboard=pending)
        turn = Turn(self.room, subject, update, talk, state, self.clock.now())
        await turn.locate(account)
        turn.is_first, turn.is_rebuilt = account is None, True
        if account is None and (self.room.social is not None or self.room.product.invites_by_mail):
            await recall(turn, self.identities)
        prompt: Screen = turn.prompt()
        talk.offers = () if prompt.reply_keyboard else offers_of([prompt])
        return turn


class Services(BaseMiddleware):
    """Inner middleware: gives a handler what it asks for by name, when it has been chosen.

    In the dispatcher's own data they would be copied at each of the twenty calls in between. So filters get none of
    them: only the room, which is there.
    """

    def __init__(self, **services: object) -> None:
        """Take each by the name that handlers know it by."""
        self._services = services

    async def __call__(self, handler: Handler, event: TelegramObject, data: dict[str, Any]) -> Any:
        """Run the handler with them."""
        data.update(self._services)
        return await handler(event, data)


def _is_private(subject: Message | CallbackQuery) -> bool:
    message = subject if isinstance(subject, Message) else subject.message
    return message is not None and message.chat.type == ChatType.PRIVATE
