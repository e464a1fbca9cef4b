"""One update of one person: what they said, where they are, and how to answer.

Handlers receive it as `turn`. It knows the ordered list of steps, so none of them names its successor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State
from aiogram.methods import AnswerCallbackQuery, TelegramMethod
from aiogram.types import CallbackQuery, Message
from markupsafe import Markup

from handlers.meaning import NO, YES, Offer, by_answer, by_label, offers_of, plain
from handlers.moments import moment
from handlers.product import Product
from handlers.reply import Reply
from handlers.screens import Button, Screen
from handlers.states import Registration
from handlers.talk import Talk
from locales import Texts
from storage.conversations import Conversations
from storage.models import Account, Progress, UpdateRef

# What aiogram hands to every handler first; a turn knows it too.
Event = Message | CallbackQuery

_WITH_REPLY_KEYBOARD = frozenset({Registration.phone.state, Registration.country.state})


@dataclass(frozen=True)
class Step:
    """One pending question: its name, its state, when it is answered, how it is asked."""

    name: str
    state: State
    is_done: Callable[[Account | None, Talk, Product], bool]
    prompt: Callable[[Turn], Screen]


@dataclass(frozen=True)
class Room:
    """What all turns share; `wake` tells the courier that the outbox was filled."""

    texts: Texts
    product: Product
    conversations: Conversations
    steps: tuple[Step, ...]
    done: Callable[[Turn], Screen]
    wake: Callable[[], None]


class Turn:
    """One update of one person in a private chat."""

    def __init__(
        self,
        room: Room,
        event: Event,
        update: UpdateRef,
        talk: Talk,
        state: FSMContext,
        now: datetime,
    ) -> None:
        """Take the update's event, the loaded talk, the FSM context of the open conversation and the moment."""
        self.room = room
        self.event = event
        self.update = update
        self.talk = talk
        self.state = state
        self.now = now
        self.step: str | None = None
        self.action: str | None = None
        self.is_first = False

    @property
    def product(self) -> Product:
        """The product people register for."""
        return self.room.product

    @property
    def telegram_id(self) -> int:
        """The person, and in a private chat the chat too."""
        return self.update.telegram_id

    @property
    def text(self) -> str:
        """The text of the person's message, empty for anything else."""
        return (self.event.text or "") if isinstance(self.event, Message) else ""

    def html(self, key: str, n: int | None = None, **values: Any) -> Markup:
        """Return a text in the person's language; values are escaped."""
        return self.room.texts.html(self.talk.language, key, n, **values)

    def button(self, key: str, action: str, *, answer: str = "", **values: Any) -> Button:
        """Return a button with a catalogue label."""
        return Button(self.room.texts.every(key, **values), action=action, answer=answer)

    def link(self, key: str, url: str) -> Button:
        """Return a link button with a catalogue label."""
        return Button(self.room.texts.every(key), url=url)

    def moment(self, at: datetime) -> str:
        """Return a moment in the person's language and the operator's time zone."""
        return moment(at, self.now, self.product.time_zone, self.talk.language)

    def interpret(self) -> None:
        """Find what the update means: a pressed or typed button, or a bare answer. Commands are never labels."""
        if isinstance(self.event, CallbackQuery):
            self.action = self.event.data
            return
        if not self.text or self.text.startswith("/"):
            return
        offers = self._offers()
        # A bare yes, no or option number is never a step's own data (an address, a number, a code), so it is safe here.
        self.action = by_label(self.text, offers) or by_answer(self.text, self.talk.offers, numbered=self.talk.numbered)

    def says(self, answer: Literal["yes", "no"]) -> bool:
        """Tell whether the text is a bare yes (or no)."""
        return plain(self.text) in (YES if answer == "yes" else NO)

    def _offers(self) -> tuple[Offer, ...]:
        keyboard = next(step.prompt for step in self.room.steps if step.state is Registration.phone)
        return self.talk.offers + (offers_of([keyboard(self)]) if self.talk.keyboard else ())

    def offers(self, action: str) -> bool:
        """Tell whether this button is on offer now (what destroys something must be)."""
        return any(offer.action == action for offer in self.talk.offers)

    async def move(self, state: State) -> None:
        """Be at this step from now on."""
        self.step = state.state
        await self.state.set_state(state)

    def pending_step(self, account: Account | None) -> Step | None:
        """Return the first step that is not done; None when the registration is complete."""
        return next((s for s in self.room.steps if not s.is_done(account, self.talk, self.product)), None)

    async def forget(self) -> None:
        """Keep nothing of the conversation but the language, and be at the first step."""
        self.talk = Talk(language=self.talk.language, keyboard=self.talk.keyboard, latest=self.talk.latest)
        await self.locate(None)

    async def locate(self, account: Account | None) -> None:
        """Take over what the account says and be at the pending step, without saying anything."""
        if account is not None:
            self.talk.email, self.talk.number = account.email, account.asked_number
        step = self.pending_step(account)
        await self.move(step.state if step else Registration.done)

    def prompt(self) -> Screen:
        """Return the pending step's question, or the final message."""
        at = Registration.phone.state if self.step == Registration.country.state else self.step
        step = next((step for step in self.room.steps if step.state.state == at), None)
        return (step.prompt if step else self.room.done)(self)

    async def proceed(self, result: Account | Progress | None, *before: Screen) -> Reply:
        """Be at the pending step of this account and ask it, after the screens `before`."""
        account = result.account if isinstance(result, Progress) else result
        if isinstance(result, Progress):
            for displaced in result.displaced:
                await self.room.conversations.forget(self.state.key.bot_id, displaced)
            if result.displaced:
                self.room.wake()
        self.talk.paused = False
        await self.locate(account)
        finished = self.step == Registration.done.state
        return self.say(*before, self.prompt(), by_http=finished)

    def ask(self, *before: Screen) -> Reply:
        """Ask the pending step again, after the screens `before`."""
        return self.say(*before, self.prompt())

    def say(self, *screens: Screen, edit: bool = False, by_http: bool = False) -> Reply:
        """Answer with these messages; `edit` puts the first in place of the message whose button was pressed.

        The last goes into the webhook response, unless it is an edit or must be known to have arrived (`by_http`).
        """
        screens = self._one_keyboard(screens)
        self.remember(*screens)
        methods: list[TelegramMethod[Any]] = [s.send(self.telegram_id, self.talk.language) for s in screens]
        if not isinstance(self.event, CallbackQuery):
            return _reply(methods, by_http=by_http)
        answer = AnswerCallbackQuery(callback_query_id=self.event.id)
        if edit and self.event.message is not None and methods:
            methods[0] = screens[0].edit(self.telegram_id, self.event.message.message_id, self.talk.language)
            return Reply(before=tuple(methods), last=answer)
        return _reply([answer, *methods], by_http=by_http)

    def alert(self, screen: Screen) -> Reply:
        """Answer in a word: an alert over the pressed button, or a message to who typed its label."""
        if isinstance(self.event, CallbackQuery):
            text = screen.text.striptags()
            return Reply(last=AnswerCallbackQuery(callback_query_id=self.event.id, text=text, show_alert=True))
        return self.say(screen)

    def _one_keyboard(self, screens: Sequence[Screen]) -> tuple[Screen, ...]:
        """Take the phone step's reply keyboard away before anything else is asked: a message carries one keyboard."""
        left = self.talk.keyboard and (self.talk.paused or self.step not in _WITH_REPLY_KEYBOARD)
        if not left or not screens:
            return tuple(screens)
        self.talk.keyboard = False
        first = screens[0]
        if first.rows:
            return (Screen(self.html("registration-next"), removes_keyboard=True), *screens)
        return (Screen(first.text, removes_keyboard=True), *screens[1:])

    def remember(self, *screens: Screen) -> None:
        """Keep what is on offer. A message without buttons leaves the earlier ones standing."""
        inline = [screen for screen in screens if screen.rows and not screen.reply_keyboard]
        asks = any(screen.reply_keyboard for screen in screens)
        self.talk.keyboard = self.talk.keyboard or asks
        if inline or asks:
            self.talk.offers = offers_of(inline)
            self.talk.numbered = any(screen.numbered for screen in inline)


def _reply(methods: Sequence[TelegramMethod[Any]], *, by_http: bool) -> Reply:
    if by_http or not methods:
        return Reply(before=tuple(methods))
    return Reply(before=tuple(methods[:-1]), last=methods[-1])
