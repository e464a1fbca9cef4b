"""`/link [campaign]`: staff hand out the bot's link, in one message that can be forwarded.

Staff are who STAFF_IDS names, and whoever writes in the support group. Anyone else gets what an unknown command gets.
"""

from __future__ import annotations

from aiogram import Router
from aiogram.filters import Command, CommandObject, Filter
from aiogram.methods import SendMessage, SendPhoto
from aiogram.types import Message

from handlers.attachments import photo
from handlers.partner_pictures import link_text
from handlers.payloads import bot_link
from handlers.ports import Pictures
from handlers.reply import Reply
from handlers.routes import Routes
from handlers.screens import Screen
from handlers.turn import Event, Room, Turn
from handlers.voice import Voice
from storage.campaigns import LONGEST_NAME, Campaigns, is_name
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
    routes.command(give_link, _LINK, IsStaff())


def create_router() -> Router:
    """Route what is asked in the support group."""
    router = Router(name="support chat")
    router.message.register(give_link_in_group, InSupportChat(), _LINK)
    return router


async def give_link(
    event: Event, turn: Turn, command: CommandObject, campaigns: Campaigns, pictures: Pictures
) -> Reply:
    """Give a link to hand out."""
    link = await _link(turn, turn.telegram_id, command, campaigns, pictures)
    return Reply(before=(link,), last=turn.say().last)


async def give_link_in_group(
    message: Message, room: Room, command: CommandObject, campaigns: Campaigns, pictures: Pictures, clock: Clock
) -> Reply:
    """Give a link to hand out, in the support group."""
    language = room.texts.pick(message.from_user.language_code if message.from_user else None)
    voice = Voice(room.texts, room.product, language, clock.now())
    return Reply(before=(await _link(voice, message.chat.id, command, campaigns, pictures),))


async def _link(
    voice: Voice, chat_id: int, command: CommandObject, campaigns: Campaigns, pictures: Pictures
) -> SendPhoto | SendMessage:
    """Return the message to forward: it says where the link leads, and to nobody whose it is."""
    name = " ".join((command.args or _USUAL).split())
    if not is_name(name):
        return Screen(voice.html("partner-name", longest=LONGEST_NAME)).send(chat_id, voice.language)
    campaign = await campaigns.house(name, voice.now)
    picture = await pictures.qr_png(bot_link(voice.product, campaign.code))
    return photo(chat_id, picture, Screen(link_text(voice, "staff-link", campaign)), voice.language)
