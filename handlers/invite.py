"""`/invite`: a registered person's own link and what came of it; `/invite a@b.c` writes to a colleague.

What is said of an address is the same whoever it belongs to, and whatever becomes of the letter: see
`storage/letters.py`. Only what a mail server says of a mailbox is passed on later, masked.
"""

from __future__ import annotations

from urllib.parse import urlencode

from aiogram.filters import Command

from handlers.attachments import photo
from handlers.moments import duration
from handlers.payloads import bot_link
from handlers.ports import Courier, Pictures
from handlers.registration import addresses
from handlers.reply import Reply
from handlers.routes import Routes
from handlers.screens import Button, Rows, Screen
from handlers.states import Registration
from handlers.turn import Event, Turn
from storage import referral_codes
from storage.accounts import Accounts
from storage.campaigns import Campaigns
from storage.funnels import Funnels, Period
from storage.invitations import Invitations


def add_to(routes: Routes) -> None:
    """Route `/invite`."""
    routes.command(invite, Command("invite", ignore_case=True))


async def invite(
    event: Event, turn: Turn, accounts: Accounts, campaigns: Campaigns, funnels: Funnels, invitations: Invitations,
    courier: Courier, pictures: Pictures,
) -> Reply:  # fmt: skip
    """Show the own link with its QR code, or have a letter sent; who is not registered yet goes on with that."""
    if turn.step != Registration.done.state:
        return turn.ask(Screen(turn.html("invite-later")))
    if turn.talk.invite is None:
        # Registered before there were such links.
        turn.talk.invite = (await campaigns.of_person(turn.telegram_id, turn.now)).code
    typed = turn.text.partition(" ")[2].strip()
    if typed:
        return await _write(turn, accounts, invitations, courier, typed)
    campaign = referral_codes.read(turn.talk.invite)
    funnel = await funnels.of(campaign or 0, Period.ALL, turn.now)
    text = turn.html("invite-link", link=_link(turn), came=funnel.starts, registered=funnel.confirmed)
    if turn.product.invites_by_mail:
        text += "\n\n" + turn.html("invite-how")
    screen = Screen(text, _share(turn))
    turn.remember(screen)
    picture = await pictures.qr_png(_link(turn))
    return Reply(before=(photo(turn.telegram_id, picture, screen, turn.language),))


async def _write(turn: Turn, accounts: Accounts, invitations: Invitations, courier: Courier, typed: str) -> Reply:
    if not turn.product.invites_by_mail:
        return turn.say(Screen(turn.html("invite-no-mail", link=_link(turn)), _share(turn)))
    address = addresses.parse_address(typed)
    account = await accounts.of(turn.telegram_id)
    if account is not None and account.email == address:
        return turn.say(Screen(turn.html("invite-yourself"), _share(turn)))
    name = turn.event.from_user.first_name if turn.event.from_user else ""
    await invitations.ask(turn.update, address, name, turn.language, turn.now)
    courier.wake()
    lifetime = duration(turn.product.invite_lifetime, turn.language)
    return turn.say(Screen(turn.html("invite-sent", email=addresses.display(address), lifetime=lifetime)))


def _link(turn: Turn) -> str:
    return bot_link(turn.product, turn.talk.invite or "")


def _share(turn: Turn) -> Rows:
    """Offer to send the link to somebody in Telegram; the text comes along in the inviter's language."""
    words = turn.texts.plain(turn.language, "invite-share", None, product=turn.product.name)
    url = "https://t.me/share/url?" + urlencode({"url": _link(turn), "text": words})
    return ((Button(turn.texts.every("button-invite-share"), url=url),),)
