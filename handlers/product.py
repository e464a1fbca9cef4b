"""What the operator's settings mean to the conversation: names, links, styles. Built once, in `bot/app.py`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo


class TermsStyle(StrEnum):
    """How the terms are accepted: a toggle and a button, or the button alone."""

    CHECKBOX = "checkbox"
    BUTTON = "button"


@dataclass(frozen=True)
class Product:
    """The product people register for, as they meet it; every field is a setting.

    `web_url`: where browsers reach the bot's own pages, None when they do not.
    """

    name: str
    bot_username: str
    start_url: str
    terms_url: str
    terms_version: str
    terms_style: TermsStyle
    restore_password_url: str
    support_url: str
    help_url: str
    video_url: str
    privacy_url: str
    phone_reason: str
    countries: tuple[str, ...]
    number_types: frozenset[str]
    contact_needs_code: bool
    reveal_existing: bool
    time_zone: ZoneInfo
    code_length: int
    unconfirmed_lifetime: timedelta
    check_mail_domains: bool
    staff_ids: frozenset[int] = frozenset()
    support_chat_id: int | None = None
    invites_by_mail: bool = False
    invite_lifetime: timedelta = timedelta(days=14)
    web_url: str | None = None
