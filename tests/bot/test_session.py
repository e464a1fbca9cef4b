"""What the Bot API answers, as our client reads it."""

from __future__ import annotations

import json

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramForbiddenError, TelegramRetryAfter
from aiogram.methods import GetMe, SendMessage

from bot.session import Session

SAY = SendMessage(chat_id=7, text="да")


@pytest.fixture
def session() -> Session:
    return Session()


@pytest.fixture
def bot(session: Session) -> Bot:
    return Bot("7:" + "t" * 35, session=session)


@pytest.mark.parametrize("chat", [{"id": 7, "type": "private"}, {"id": "seven"}, "of a kind not heard of yet", None])
def test_what_was_sent_was_sent_however_it_is_told(session: Session, bot: Bot, chat: object) -> None:
    content = json.dumps({"ok": True, "result": {"message_id": 5, "date": 1, "chat": chat}})
    assert vars(session.check_response(bot, SAY, 200, content).result) == {"message_id": 5}


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"ok": False, "error_code": 403, "description": "Forbidden: bot was blocked"}, TelegramForbiddenError),
        (
            {"ok": False, "error_code": 429, "description": "Too Many", "parameters": {"retry_after": 3}},
            TelegramRetryAfter,
        ),
    ],
)
def test_what_was_refused_was_not(
    session: Session, bot: Bot, answer: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        session.check_response(bot, SAY, int(str(answer["error_code"])), json.dumps(answer))


def test_anything_else_is_read_whole(session: Session, bot: Bot) -> None:
    me = {"id": 7, "is_bot": True, "first_name": "Bot", "username": "some_bot"}
    content = json.dumps({"ok": True, "result": me})
    assert vars(session.check_response(bot, GetMe(), 200, content).result)["username"] == "some_bot"
