"""`/partner_add <Telegram id> NAME`: staff make somebody a partner, who from then on sees `/partner`.

Whoever is no staff gets what an unknown command gets; who is: see `handlers/staff.py`.
"""

from __future__ import annotations

import logging
import re

from aiogram import Router
from aiogram.filters import Command, CommandObject
from aiogram.types import Message
from markupsafe import Markup

from handlers.reply import Reply
from handlers.routes import Routes
from handlers.screens import Screen
from handlers.staff import InSupportChat, IsStaff
from handlers.turn import Event, Room, Turn
from locales import Texts
from storage.campaigns import LONGEST_NAME, Campaigns, Partner, PartnerExists, TelegramIdTaken, is_name
from storage.clock import Clock

log = logging.getLogger(__name__)

_ADD = Command("partner_add", ignore_case=True)
# As `STAFF_IDS` has it: a group's id, which is negative, is nobody's.
_GIVEN = re.compile(r"([1-9][0-9]{0,17})\s+(.+)", re.DOTALL)


def add_to(routes: Routes) -> None:
    """Route the command of staff in their private chats."""
    routes.command(add_partner, _ADD, IsStaff())


def create_router() -> Router:
    """Route the command in the support group."""
    router = Router(name="partners by support")
    router.message.register(add_partner_in_group, InSupportChat(), _ADD)
    return router


async def add_partner(event: Event, turn: Turn, command: CommandObject, campaigns: Campaigns, clock: Clock) -> Reply:
    """Make a partner."""
    # Which of the staff it was can be told by this, and nobody else learns their id.
    by = f"staff whose Telegram id ends in {turn.telegram_id % 100:02}"
    return turn.say(Screen(await _answer(turn.texts, turn.language, command, campaigns, clock, by)))


async def add_partner_in_group(
    message: Message, room: Room, command: CommandObject, campaigns: Campaigns, clock: Clock
) -> Reply:
    """Make a partner, in the support group."""
    language = room.texts.pick(message.from_user.language_code if message.from_user else None)
    person = message.from_user.id if message.from_user else 0
    by = f"one of the support group whose Telegram id ends in {person % 100:02}"
    screen = Screen(await _answer(room.texts, language, command, campaigns, clock, by))
    return Reply(last=screen.send(message.chat.id, language))


async def _answer(
    texts: Texts, language: str, command: CommandObject, campaigns: Campaigns, clock: Clock, by: str
) -> Markup:
    given = _GIVEN.fullmatch((command.args or "").strip())
    if given is None:
        return texts.html(language, "staff-partner-how")
    name = " ".join(given[2].split())
    if not is_name(name):
        return texts.html(language, "partner-name", longest=LONGEST_NAME)
    try:
        partner = await _made(campaigns, name, int(given[1]), clock, by)
    except TelegramIdTaken as taken:
        return texts.html(language, "staff-partner-person-taken", name=str(taken))
    except PartnerExists:
        return texts.html(language, "staff-partner-name-taken", name=name)
    return texts.html(language, "staff-partner-made", name=partner.name, person=str(partner.telegram_id))


async def _made(campaigns: Campaigns, name: str, telegram_id: int, clock: Clock, by: str) -> Partner:
    """Make the partner, or give one of nobody's this person; the same command again changes nothing.

    Raises TelegramIdTaken, and PartnerExists for somebody else's: whose numbers these are is not changed by a slip.
    """
    try:
        partner = await campaigns.add_partner(name, telegram_id, clock.now())
    except PartnerExists as error:
        if error.partner.telegram_id == telegram_id:
            return error.partner
        if error.partner.telegram_id is not None:
            raise
        partner = await campaigns.assign(error.partner, telegram_id)
    log.info("partner %s was made by %s", partner.id, by)
    return partner
