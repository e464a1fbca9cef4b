"""The commands that work at any step, and the buttons that stand for them."""

from __future__ import annotations

from aiogram.filters import Command
from aiogram.types import CallbackQuery

from handlers import keyboards
from handlers.filters import Acting, Paused, YesOrNo
from handlers.moments import duration
from handlers.reply import Reply
from handlers.routes import Handler, Routes
from handlers.screens import Rows, Screen
from handlers.states import NOTHING_PENDING, Registration
from handlers.turn import Event, Turn
from storage.accounts import Accounts

_BEFORE = {
    Registration.terms.state: Registration.email,
    Registration.phone.state: Registration.terms,
    Registration.country.state: Registration.phone,
    Registration.code.state: Registration.phone,
}


def add_to(routes: Routes) -> None:
    """Route the commands, then the buttons that are offered at more than one step."""
    commands: dict[str, Handler] = {
        "back": back, "cancel": cancel, "help": show_help, "language": ask_language,
        "support": support, "privacy": privacy, "delete": ask_delete,
    }  # fmt: skip
    for command, handler in commands.items():
        routes.command(handler, Command(command, ignore_case=True))
    buttons: dict[str, Handler] = {
        "back": back, "continue": go_on, "delete": ask_delete, "delete:yes": delete,
        "language:": choose_language, "link:": send_link, "done:start": send_sign_in_link,
    }  # fmt: skip
    for action, handler in buttons.items():
        routes.button(handler, Acting(action))
    # Before the steps' buttons too: a no to "continue?" is no answer to the step's own question.
    routes.label(stay_paused, Paused(), YesOrNo())
    routes.answer(stay_paused, Paused(), YesOrNo())


async def stay_paused(event: Event, turn: Turn) -> Reply:
    """Leave it at that: who cancelled answers "continue?" with no."""
    return turn.say(Screen(turn.html("menu-paused"), keyboards.cancel(turn)))


async def back(event: Event, turn: Turn) -> Reply:
    """Ask the previous step again; its old answer stays until a new one is accepted."""
    state = _BEFORE.get(turn.step)
    if isinstance(event, CallbackQuery) and not turn.offers("back"):
        # The button of an earlier step, still on the screen: it must not throw anybody back.
        return turn.ask()
    if state is None:
        return turn.ask(*([Screen(turn.html("menu-back-first"))] if turn.step == Registration.email.state else []))
    await turn.move(state)
    return turn.ask()


async def go_on(event: Event, turn: Turn, accounts: Accounts) -> Reply:
    """Ask what is pending now, wherever the person had gone back to."""
    return await turn.proceed(await accounts.of(turn.telegram_id))


async def cancel(event: Event, turn: Turn, accounts: Accounts) -> Reply:
    """Stop asking; say until when the account waits."""
    if turn.step in NOTHING_PENDING:
        return turn.ask()
    turn.talk.paused = True
    account = await accounts.of(turn.telegram_id)
    key = "menu-cancel" if account is None else "menu-cancel-until"
    until = turn.moment(account.expires_at) if account else ""
    return turn.say(Screen(turn.html(key, until=until), keyboards.cancel(turn)))


async def show_help(event: Event, turn: Turn) -> Reply:
    """Say what this is for, what can be typed, and where to read and watch more."""
    product = turn.product
    rows: Rows = ((turn.link("button-help-article", product.help_url),),) if product.help_url else ()
    rows += ((turn.link("button-video", product.video_url),),) if product.video_url else ()
    rows += ((turn.link("button-support", product.support_url),),)
    return turn.say(Screen(turn.html("menu-help", product=product.name), rows + keyboards.go_on(turn)))


async def support(event: Event, turn: Turn) -> Reply:
    """Give the way to support."""
    return turn.say(Screen(turn.html("menu-support"), keyboards.link(turn, "button-support", turn.product.support_url)))


async def privacy(event: Event, turn: Turn) -> Reply:
    """Say what is kept, for how long, and give the policy."""
    text = turn.html("menu-privacy", lifetime=duration(turn.product.unconfirmed_lifetime, turn.language))
    rows = keyboards.link(turn, "button-privacy", turn.product.privacy_url)
    return turn.say(Screen(text, rows + keyboards.go_on(turn)))


async def ask_language(event: Event, turn: Turn) -> Reply:
    """Offer the languages there are."""
    names = [turn.texts.plain(code, "language-name") for code in turn.texts.languages]
    numbered = turn.step not in {Registration.code.state, Registration.country.state}
    lines = [f"{number}. {name}" if numbered else name for number, name in enumerate(names, start=1)]
    text = turn.html("menu-language") + "\n\n" + "\n".join(lines)
    return turn.say(Screen(text, keyboards.language(turn), numbered=numbered))


async def choose_language(event: Event, turn: Turn, accounts: Accounts) -> Reply:
    """Speak this language from now on, and ask the pending step in it."""
    language = (turn.action or "").rpartition(":")[2]
    if language not in turn.texts.languages:
        return turn.ask()
    await accounts.set_language(turn.update, language)
    turn.speak(language)
    return turn.ask(Screen(turn.html("menu-language-chosen")))


async def ask_delete(event: Event, turn: Turn) -> Reply:
    """Ask once whether everything is to be erased."""
    return turn.say(Screen(turn.html("menu-delete"), keyboards.delete(turn)))


async def delete(event: Event, turn: Turn, accounts: Accounts) -> Reply:
    """Erase everything personal. Only while the question is the newest on offer: an old button must not erase."""
    if not turn.offers("delete:yes"):
        return turn.ask()
    await accounts.erase(turn.update, now=turn.now)
    await turn.forget()
    return turn.say(Screen(turn.html("menu-deleted"), removes_keyboard=True))


async def send_link(event: Event, turn: Turn) -> Reply:
    """Send the link to who typed the label of a link button. A press never comes here: such data is crafted."""
    url = (turn.action or "").removeprefix("link:")
    if not turn.offers(turn.action or ""):
        return turn.ask()
    return turn.say(Screen(turn.html("menu-link", url=url)))


async def send_sign_in_link(event: Event, turn: Turn) -> Reply:
    """Send who typed "Get started" the link: a fresh one, since the button's may be used or too old."""
    if turn.step != Registration.done.state:
        return turn.ask()
    return turn.say(Screen(turn.html("menu-link", url=turn.sign_in_link())))
