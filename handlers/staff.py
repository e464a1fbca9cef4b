"""`/link [campaign]`: staff hand out the bot's link, in one message that can be forwarded.

Staff are who STAFF_IDS names, and whoever writes in the support group. Anyone else gets what an unknown command gets.
"""

from __future__ import annotations

from aiogram import Router
from aiogram.filters import Command, CommandObject, Filter
from aiogram.types import Message
from markupsafe import Markup

from handlers.partners import is_name
from handlers.payloads import bot_link
from handlers.product import Product
from handlers.reply import Reply
from handlers.routes import Routes
from handlers.screens import Screen
from handlers.turn import Event, Room, Turn
from locales import Texts
from storage.campaigns import LONGEST_NAME, Campaign, Campaigns
from storage.clock import Clock

# Where no campaign is named.
_USUAL = "support"
_LINK = Command("link", ignore_case=True)


class IsStaff(Filter):
    """Somebody whom STAFF_IDS names, in their private chat."""

    async def __call__(self, message: Message, turn: Turn | None = None) -> bool:
        """Pass by id, never by name."""
        return turn is not None and turn.telegram_id in turn.product.staff_ids


class InSupportChat(Filter):
    """A message in the support group; without SUPPORT_CHAT_ID there is none."""

    async def __call__(self, message: Message, room: Room) -> bool:
        """Pass by the chat's id."""
        return message.chat.id == room.product.support_chat_id


def add_to(routes: Routes) -> None:
    """Route `/link` of staff in their private chats."""
    routes.commands.message.register(give_link, _LINK, IsStaff())


def create_router() -> Router:
    """Route what is asked in the support group."""
    router = Router(name="support chat")
    router.message.register(give_link_in_group, InSupportChat(), _LINK)
    return router


async def give_link(event: Event, turn: Turn, command: CommandObject, campaigns: Campaigns, clock: Clock) -> Reply:
    """Give a link to hand out."""
    return turn.say(Screen(await _link(turn.texts, turn.language, turn.product, command, campaigns, clock)))


async def give_link_in_group(
    message: Message, room: Room, command: CommandObject, campaigns: Campaigns, clock: Clock
) -> Reply:
    """Give a link to hand out, in the support group."""
    language = room.texts.pick(message.from_user.language_code if message.from_user else None)
    screen = Screen(await _link(room.texts, language, room.product, command, campaigns, clock))
    return Reply(last=screen.send(message.chat.id, language))


async def _link(
    texts: Texts, language: str, product: Product, command: CommandObject, campaigns: Campaigns, clock: Clock
) -> Markup:
    name = " ".join((command.args or _USUAL).split())
    if not is_name(name):
        return texts.html(language, "partner-name", longest=LONGEST_NAME)
    return link_text(texts, language, product, await campaigns.house(name, clock.now()))


def link_text(texts: Texts, language: str, product: Product, campaign: Campaign) -> Markup:
    """Return the message to forward: it says where the link leads, and to nobody whose it is."""
    return texts.html(language, "staff-link", product=product.name, link=bot_link(product, campaign.code))
