"""Asking Telegram what the bot is called, for commands that print links: one call, without what serving loads."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from urllib.error import URLError

from bot.settings import Settings

# Seconds. Whoever waits longer for a name does without.
_WITHIN = 3.0


async def ask_bot_name(settings: Settings) -> str | None:
    """Return the bot's username (Bot API, `getMe`); None without BOT_TOKEN, or when no answer comes in time."""
    if settings.bot_token is None:
        return None
    # Never into a message: it holds the token.
    url = f"{settings.telegram_api_base}/bot{settings.bot_token.get_secret_value()}/getMe"
    return await asyncio.to_thread(_ask, url)


def _ask(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=_WITHIN) as answer:  # noqa: S310 - the setting is http or https
            return str(json.load(answer)["result"]["username"])
    except (URLError, OSError, ValueError, LookupError, TypeError):
        return None
