"""One person's updates, each with its price, and the bot's process with everything counted around it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from redis.asyncio import Redis

from tests.bench.counting import Wire, Work
from tests.bench.outside import Outside
from tests.bench.people import Door, message_of, update_of, user_of
from tests.bench.wire import Line
from tests.journeys.stage import TEXTS
from tests.numbers import mobile
from tests.waiting import until

Json = dict[str, Any]

TWO_SCRIPTS = {"EVALSHA": 2}
# Seconds without anything new. What the conversation does is over when it answers; this is for what may come behind.
QUIET = 0.08
# Telegram is asked now and then whether the webhook is still set: no update's doing.
OF_NO_UPDATE = "getWebhookInfo"

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Price:
    """What an update costs.

    `sql`: nothing at all, one SELECT, or one transaction that changes something. `calls` go out by HTTP, SMS among
    them; `response` is the call that the webhook response carries. `courier`: the update gives the courier work.
    """

    sql: Literal["none", "read", "change"] = "none"
    calls: Mapping[str, int] = field(default_factory=dict)
    response: str | None = "sendMessage"
    redis: Mapping[str, int] = field(default_factory=lambda: TWO_SCRIPTS)
    courier: bool = False


SPOKEN = {"sendMessage": 1}


class Chat:
    """One person's private chat, as Telegram sees it: makes their updates and knows what they were told."""

    def __init__(self) -> None:
        number = next(_numbers)
        self.id = 200_000_000 + number
        self.email = f"person{self.id}@example.org"
        self.phone = mobile(number, "915")
        self.code = ""
        self._message_ids = itertools.count(1)
        self._sent: list[Json] = []

    def message(self, **content: object) -> Json:
        return self._kept(update_of(message=message_of(self.id, next(self._message_ids), **content)))

    def press(self, data: str) -> Json:
        message = message_of(self.id, next(self._message_ids), text="...")
        query = {"id": str(message["message_id"]), "from": user_of(self.id), "chat_instance": "1", "data": data}
        return self._kept(update_of(callback_query={**query, "message": message}))

    def repeat(self, back: int) -> Json:
        return self._sent[-back]

    def wrong_code(self) -> str:
        return f"{(int(self.code) + 1) % 1_000_000:06d}"

    def _kept(self, update: Json) -> Json:
        self._sent.append(update)
        return update


@dataclass(frozen=True)
class Row:
    """One update: what is said in it, the key of the text it is answered with (None: without words), and its price."""

    what: str
    update: Callable[[Chat], Json]
    answer: str | None
    price: Price


def text(words: str) -> Callable[[Chat], Json]:
    return lambda chat: chat.message(text=words)


def label(key: str) -> Callable[[Chat], Json]:
    return text(TEXTS.plain("ru", key))


def press(data: str) -> Callable[[Chat], Json]:
    return lambda chat: chat.press(data)


def repeated(back: int = 1) -> Callable[[Chat], Json]:
    return lambda chat: chat.repeat(back)


def sticker(chat: Chat) -> Json:
    picture = {"file_id": "f", "file_unique_id": "u", "type": "regular", "width": 512, "height": 512}
    return chat.message(sticker={**picture, "is_animated": False, "is_video": False})


def in_group(words: str) -> Callable[[Chat], Json]:
    return lambda chat: chat.message(text=words, chat={"id": -chat.id, "type": "group", "title": "Group"})


def email(chat: Chat) -> Json:
    return chat.message(text=chat.email)


def phone(chat: Chat) -> Json:
    return chat.message(text=chat.phone)


def code(chat: Chat) -> Json:
    return chat.message(text=chat.code)


def wrong_code(chat: Chat) -> Json:
    return chat.message(text=chat.wrong_code())


# The message before the prompt takes the contact keyboard away.
NUMBER = Row("a number", phone, "registration-code-prompt", Price("change", {"SMS": 1, **SPOKEN}, courier=True))


class World(Outside):
    """The world outside the bot, which remembers every call."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[str, Json]] = []

    def say(self, method: str, fields: Json) -> bool:
        self.told.append((method, fields))
        return super().say(method, fields)


@dataclass
class Bench:
    """The bot's process, and everything that is counted around it."""

    world: World
    door: Door
    line: Line
    wire: Wire
    redis: Redis

    async def sends(self, row: Row, chat: Chat) -> Json:
        """Send a row's update and return what the webhook response carries, {} when that is nothing."""
        self.world.told.clear()
        body = json.dumps(row.update(chat)).encode()
        status, answered = await self.line.post(self.door.path, body, self.door.headers)
        assert status == 200, f"{row.what}: the webhook answered {status}"
        expected = sum(row.price.calls.values()) - row.price.calls.get("SMS", 0)
        # The courier's come behind the answer; what does not come at all is a difference, told with the others.
        with contextlib.suppress(TimeoutError):
            await until(lambda: len(self.world.told) >= expected, 2)
        if "SMS" in row.price.calls:
            chat.code, _ = await self.world.phone(chat.phone)
        response: Json = json.loads(answered) if answered else {}
        return response

    async def journey(self, rows: Sequence[Row], chat: Chat | None = None) -> list[str]:
        """Send one person's rows, in order; return what is not as they say."""
        chat, found = chat or Chat(), []
        for row in rows:
            response = await self.sends(row, chat)
            told = [*(fields for _, fields in self.world.told), response]
            work = await self.work(courier=row.price.courier)
            differences = itertools.chain(_differences(row.price, work, response), _other_words(row, told))
            found += [f"{row.what}: {difference}" for difference in differences]
        return found

    async def work(self, *, courier: bool = False) -> Work:
        """Wait until all that was begun is over, with `courier` its part too, and return it."""
        # MONITOR shows commands in their order, so what came before this one is counted when this one is.
        await self.redis.echo("all before this")
        await until(lambda: self.wire.commands["ECHO"] == 1)
        work = await self.wire.quiet(QUIET)
        async with asyncio.timeout(5):
            while courier and not any(statement.startswith("DELETE FROM outbox ") for statement in work.courier_sql):
                work += await self.wire.quiet(QUIET)
        del work.redis["ECHO"], work.calls[OF_NO_UPDATE]
        return work


def _differences(price: Price, work: Work, response: Json) -> Iterator[str]:
    if work.redis != price.redis:
        yield f"Redis commands are {dict(work.redis)}, not {dict(price.redis)}"
    if work.calls != price.calls:
        yield f"outgoing calls are {dict(work.calls)}, not {dict(price.calls)}"
    if response.get("method") != price.response:
        yield f"the webhook response carries {response.get('method')}, not {price.response}"
    transactions = 0 if price.sql == "none" else 1
    if work.transactions != transactions:
        yield f"SQL transactions are {work.transactions}, not {transactions}: {work.sql}"
    if price.sql == "none" and work.sql:
        yield f"SQL statements where none are needed: {work.sql}"
    if price.sql == "read" and not (len(work.sql) == 1 and work.sql[0].startswith("SELECT ")):
        yield f"more SQL than one read: {work.sql}"
    applied = [statement for statement in work.sql if statement.startswith("INSERT INTO applied_updates ")]
    if price.sql == "change" and len(applied) != 1:
        yield f"the update is recorded {len(applied)} times: {work.sql}"
    # Where it was given nothing, all that the courier may do meanwhile is to look whether there is anything for it.
    beside = [statement for statement in work.courier_sql if not re.match(r"SELECT outbox\b", statement)]
    if not price.courier and beside:
        yield f"SQL that belongs to no update: {beside}"


def _other_words(row: Row, told: list[Json]) -> Iterator[str]:
    said = [str(fields["text"]) for fields in told if "text" in fields]
    if row.answer is None:
        if said:
            yield f"said {said}, nothing was expected"
        return
    # With the three plural forms, which are one where the text counts nothing.
    forms = {re.escape(TEXTS.template("ru", row.answer, n)) for n in (1, 2, 5)}
    expected = "|".join(re.sub(r"\\\{\w+\\\}", ".*?", form) for form in forms)
    if not any(re.search(expected, words, re.DOTALL) for words in said):
        yield f"said {said}, not {row.answer}"
    if row is NUMBER and {"remove_keyboard": True} not in [fields.get("reply_markup") for fields in told[:-1]]:
        yield f"nothing takes the contact keyboard away: {told}"
