"""One update of one person: what they said, where they are, and how to answer.

Handlers receive it as `turn`. It knows the ordered list of steps, so none of them names its successor.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from aiogram.fsm.context import FSMContext
from aiogram.fsm.state import State
from aiogram.methods import AnswerCallbackQuery, TelegramMethod
from aiogram.types import CallbackQuery, Message
from markupsafe import Markup

from handlers.meaning import NO, YES, Offer, by_answer, by_label, fixed_labels, offers_of, plain
from handlers.ports import SignIn, SocialLinks
from handlers.product import Product
from handlers.reply import Reply
from handlers.screens import Rows, Screen
from handlers.states import Registration
from handlers.talk import Talk
from handlers.voice import Voice
from locales import Texts
from storage import referral_codes
from storage.conversations import Conversations
from storage.models import Account, AccountStatus, Progress, UpdateRef

log = logging.getLogger(__name__)

# What aiogram hands to every handler first; a turn knows it too.
Event = Message | CallbackQuery

# Where digits are data: a code, a country's calling code.
_NO_NUMBERS = frozenset({Registration.code.state, Registration.country.state})
_WITH_REPLY_KEYBOARD = frozenset({Registration.phone.state, Registration.country.state})
# aiogram puts a state's name together whenever it is asked for.
_DONE = Registration.done.state


@dataclass(frozen=True)
class Step:
    """One pending question: its name, its state, when it is answered, how it is asked.

    `also_offers`: buttons of the step that its prompt does not show, for who types their labels. The labels of both
    are texts without values.
    """

    name: str
    state: State
    is_done: Callable[[Account | None, Talk, Product], bool]
    prompt: Callable[[Turn], Screen]
    also_offers: Callable[[Turn], Rows] = lambda turn: ()


@dataclass(frozen=True)
class Room:
    """What all turns share; `wake` tells the courier that the outbox was filled, `sign_in` makes the final link.

    `social`: the providers to sign up with, None without any.
    """

    texts: Texts
    product: Product
    conversations: Conversations
    steps: tuple[Step, ...]
    done: Callable[[Turn], Screen]
    wake: Callable[[], None]
    sign_in: SignIn
    social: SocialLinks | None = None
    labels: frozenset[str] = field(init=False)
    # By the name of the state; the country is picked within the phone step.
    at: Mapping[str | None, Step] = field(init=False)

    def __post_init__(self) -> None:
        # Frozen for everybody else.
        object.__setattr__(self, "labels", fixed_labels(self.texts))
        at = {step.state.state: step for step in self.steps}
        object.__setattr__(self, "at", {**at, Registration.country.state: at[Registration.phone.state]})


class Turn(Voice):
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
        super().__init__(room.texts, room.product, talk.language, now)
        self.room = room
        self.event = event
        self.update = update
        self.talk = talk
        self.state = state
        self.step: str | None = None
        self.action: str | None = None
        self.is_first = False
        # Whether the account was read from SQL for this very update.
        self.is_rebuilt = False

    @property
    def telegram_id(self) -> int:
        """The person, and in a private chat the chat too."""
        return self.update.telegram_id

    @property
    def text(self) -> str:
        """The text of the person's message, empty for anything else."""
        return (self.event.text or "") if isinstance(self.event, Message) else ""

    def interpret(self) -> None:
        """Find what the update means: a pressed or typed button, or a bare answer. Commands are never labels."""
        if isinstance(self.event, CallbackQuery):
            self.action = self.event.data
            return
        if not self.text or self.text.startswith("/"):
            return
        numbered = self.talk.numbered and self.step not in _NO_NUMBERS
        # What was said last comes first; but the pending step's buttons are on the screen too, whatever was said since.
        # A bare yes, no or option number is never a step's own data (an address, a number, a code), so it is safe here.
        typed = plain(self.text)
        self.action = (
            by_label(typed, self.talk.offers)
            # A step's own labels are fixed texts, so most of what is typed need not be compared with each of them.
            or (by_label(typed, self._step_offers()) if typed in self.room.labels else None)
            or by_answer(typed, self.talk.offers, numbered=numbered)
        )

    def says(self, answer: Literal["yes", "no"]) -> bool:
        """Tell whether the text is a bare yes (or no)."""
        return plain(self.text) in (YES if answer == "yes" else NO)

    def _step_offers(self) -> tuple[Offer, ...]:
        step = self._step()
        if step is None:
            return offers_of([self.room.done(self)])
        return offers_of([step.prompt(self), Screen(Markup(), step.also_offers(self))])

    def _step(self) -> Step | None:
        return self.room.at.get(self.step)

    def offers(self, action: str) -> bool:
        """Tell whether this button is on offer now (what destroys something must be)."""
        return any(offer.action == action for offer in self.talk.offers)

    def speak(self, language: str) -> None:
        """Speak this language from now on."""
        self.language = self.talk.language = language

    async def move(self, state: State) -> None:
        """Be at this step from now on."""
        self.step = state.state
        await self.state.set_state(state)

    def pending_step(self, account: Account | None) -> Step | None:
        """Return the first step that is not done; None when the registration is complete."""
        if self.talk.linking and account is not None and account.status is AccountStatus.PENDING:
            # The number of an existing account is looked for; a new one's steps wait.
            wanted = Registration.phone if account.asked_number is None else Registration.code
            return next(step for step in self.room.steps if step.state is wanted)
        return next((s for s in self.room.steps if not s.is_done(account, self.talk, self.product)), None)

    async def forget(self) -> None:
        """Keep nothing of the conversation but the language, and be at the first step."""
        self.talk = Talk(language=self.language, keyboard=self.talk.keyboard, latest=self.talk.latest, erased=True)
        await self.locate(None)

    async def locate(self, account: Account | None) -> None:
        """Take over what the account says and be at the pending step, without saying anything."""
        self.talk.terms_version = self.product.terms_version
        if account is not None:
            self.talk.email, self.talk.number = account.email, account.asked_number
            self.talk.promo = account.promo
            self.talk.terms_changed = account.terms_version not in {None, self.product.terms_version}
        refused = account is not None and account.status is AccountStatus.CONFLICT
        step = None if refused else self.pending_step(account)
        confirmed = account is not None and step is None and account.status is AccountStatus.CONFIRMED
        self.talk.account = str(account.id) if account is not None and confirmed else None
        invite = account.invite if account is not None and confirmed else None
        self.talk.invite = None if invite is None else referral_codes.written(invite)
        if confirmed:
            await self.room.sign_in.ready()
        end = Registration.conflict if refused else Registration.done
        await self.move(step.state if step else end)

    def sign_in_link(self) -> str:
        """Return a fresh link that opens the product, signed in when the account is confirmed."""
        if self.talk.account is None:
            return self.product.start_url
        return self.room.sign_in.link(self.talk.account, self.now)

    def prompt(self) -> Screen:
        """Return the pending step's question, or the final message."""
        step = self._step()
        return (step.prompt if step else self.room.done)(self)

    async def proceed(self, result: Account | Progress | None, *before: Screen) -> Reply:
        """Be at the pending step of this account and ask it, after the screens `before`."""
        account = result.account if isinstance(result, Progress) else result
        if isinstance(result, Progress):
            if result.confirmed_now and self.talk.promo and result.account.promo is None:
                before = (*before, Screen(self.html("promo-gone", promo=self.talk.promo)))
            await self.settle(result)
        self.talk.paused = False
        await self.locate(account)
        finished = self.step == _DONE
        return self.say(*before, self.prompt(), by_http=finished)

    async def settle(self, progress: Progress) -> None:
        """Do what a durable step takes beside its answer: who lost something by it is told and asked anew."""
        for displaced in progress.displaced:
            await self.room.conversations.forget(self.state.key.bot_id, displaced)
        if progress.displaced:
            self.room.wake()
        if progress.confirmed_now:
            log.info("account %s is confirmed", progress.account.id)

    def ask(self, *before: Screen) -> Reply:
        """Ask the pending step again, after the screens `before`."""
        return self.say(*before, self.prompt())

    def say(self, *screens: Screen, edit: bool = False, by_http: bool = False) -> Reply:
        """Answer with these messages; `edit` puts the first in place of the message whose button was pressed.

        The last goes into the webhook response, unless it is an edit or must be known to have arrived (`by_http`).
        """
        screens = self._one_keyboard(screens)
        self.remember(*screens)
        methods: list[TelegramMethod[Any]] = [s.send(self.telegram_id, self.language) for s in screens]
        if not isinstance(self.event, CallbackQuery):
            return _reply(methods, by_http=by_http)
        answer = AnswerCallbackQuery(callback_query_id=self.event.id)
        if edit and self.event.message is not None and methods:
            methods[0] = screens[0].edit(self.telegram_id, self.event.message.message_id, self.language)
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
        else:
            # The buttons still stand on the screen, but a bare yes would now answer something else than was asked.
            self.talk.offers = tuple(replace(offer, answer="") for offer in self.talk.offers)
            self.talk.numbered = False


def _reply(methods: Sequence[TelegramMethod[Any]], *, by_http: bool) -> Reply:
    if by_http or not methods:
        return Reply(before=tuple(methods))
    return Reply(before=tuple(methods[:-1]), last=methods[-1])
