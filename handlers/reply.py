"""What a handler hands back for one update: calls, never their execution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aiogram.methods import TelegramMethod


@dataclass(frozen=True, slots=True)
class Reply:
    """The Bot API calls that answer one update, in the order the person sees them.

    `before` go by HTTP at once, while the person's conversation is still locked: for what must come earlier than the
    answer or will be edited later. `last` needs no result: it travels in the webhook response (in polling by HTTP
    after the conversation was saved), is kept as the answer to a duplicate, and so must carry no file upload.
    """

    last: TelegramMethod[Any] | None = None
    before: tuple[TelegramMethod[Any], ...] = ()
