"""A local Bot API server, as strict as Telegram, and people who use it: for tests and for practice without a token."""

from bot.practice.calls import Call
from bot.practice.groups import Channel, Group
from bot.practice.people import NotOnOffer, Person
from bot.practice.server import PRACTICE_TOKEN, LocalBotAPI
from bot.practice.webhook import Pace
from bot.practice.world import Message, Toast

__all__ = [
    "PRACTICE_TOKEN",
    "Call",
    "Channel",
    "Group",
    "LocalBotAPI",
    "Message",
    "NotOnOffer",
    "Pace",
    "Person",
    "Toast",
]
