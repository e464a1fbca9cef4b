"""`/export`: everything that is stored about the person, as a file in the chat."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from aiogram.filters import Command
from aiogram.methods import SendDocument
from aiogram.types import BufferedInputFile

from handlers.reply import Reply
from handlers.routes import Routes
from handlers.screens import Screen
from handlers.turn import Event, Turn
from storage.exports import Exports

FILE_NAME = "my-data.json"
# Reading it all is the dearest thing a person can ask for.
SILENCE = timedelta(minutes=10)
# What the conversation remembers and the account does not know (yet).
_TYPED = ("email", "suggested", "candidate", "number", "taken", "country", "search")


def add_to(routes: Routes) -> None:
    """Route `/export`."""
    routes.command(export, Command("export", ignore_case=True))


async def export(event: Event, turn: Turn, exports: Exports) -> Reply:
    """Send the file, once in ten minutes; say so when there is no account, or when it was sent just now."""
    if turn.talk.exported is not None:
        sent = datetime.fromtimestamp(turn.talk.exported, UTC)
        if sent <= turn.now < sent + SILENCE:
            until = turn.moment(sent + SILENCE)
            return turn.say(Screen(turn.html("menu-export-again", until=until)))
    found = await exports.of(turn.telegram_id)
    if found is None:
        return turn.say(Screen(turn.html("menu-export-none")))
    # Saved after the file has gone: a file that did not go may be asked for at once.
    turn.talk.exported = int(turn.now.timestamp())
    screen = Screen(turn.html("menu-export", product=turn.product.name))
    turn.remember(screen)
    text = json.dumps(_whole(found, turn), ensure_ascii=False, indent=2)
    # Only HTTP carries a file.
    document = SendDocument(
        chat_id=turn.telegram_id,
        document=BufferedInputFile(text.encode(), FILE_NAME),
        caption=str(screen.text),
        parse_mode="HTML",
    )
    return Reply(before=(document,))


def _whole(stored: dict[str, Any], turn: Turn) -> dict[str, Any]:
    typed = {name: value for name in _TYPED if (value := getattr(turn.talk, name)) is not None}
    return {
        "made_at": turn.now.astimezone(UTC).isoformat(timespec="seconds"),
        **stored,
        "conversation": {"language": turn.language, **typed},
    }
