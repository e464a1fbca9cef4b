"""What one update costs, counted where it leaves the process: Redis commands, SQL transactions, outgoing calls.

A row is one update, what it is answered, and its price. Two Redis commands, both scripts, are the price of every one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from bot.valkey import Valkey
from storage.redis import connect
from tests.bench.contenders import Contender, Kind, Place, kinds
from tests.bench.counting import Statements, Wire, Work, monitored
from tests.bench.outside import Outside
from tests.bench.people import Answers, Door, Person, message_of, update_of, user_of
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


FREE = Price()
READ = Price("read")
CHANGE = Price("change")
ANSWERED = {"answerCallbackQuery": 1}
SPOKEN = {"sendMessage": 1}
# A press is answered by a new message, or by an edit of its own one: either way one call goes out, one in the response.
PRESSED = Price(calls=ANSWERED)
PRESSED_EDITS = Price(calls={"editMessageText": 1}, response="answerCallbackQuery")


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


START = Row("the very first /start", text("/start"), "start-greeting", READ)
# The message before the prompt takes the contact keyboard away.
NUMBER = Row("a number", phone, "registration-code-prompt", Price("change", {"SMS": 1, **SPOKEN}, courier=True))
# Nobody would know whether a webhook response has arrived.
RIGHT_CODE = Row("the right code", code, "registration-done", Price("change", SPOKEN, None))
DONE_AGAIN = Price(calls=SPOKEN, response=None)

TYPED = (
    START,
    Row("a sticker at the e-mail step", sticker, "registration-email-prompt", FREE),
    Row("/help", text("/help"), "menu-help", FREE),
    Row("an unknown text", text("hello"), "registration-email-no-at", FREE),
    Row("a disposable domain", text("ira@mailinator.com"), "registration-email-disposable", FREE),
    Row("an impossible domain", text("ira@example..org"), "registration-email-domain", FREE),
    Row("an address with a slip", text("ira@gmial.com"), "registration-email-hint", FREE),
    Row("an e-mail", email, "registration-terms-prompt", CHANGE),
    Row("the e-mail's update repeated", repeated(), "registration-terms-prompt", FREE),
    Row("an older update repeated", repeated(2), None, Price(response=None)),
    Row("a sticker at the terms step", sticker, "registration-terms-prompt", FREE),
    Row("terms not accepted", label("button-register"), "registration-terms-missing", FREE),
    Row("a yes to the terms", text("yes"), "terms-sentence-ticked", FREE),
    Row("terms", label("button-register"), "registration-phone-prompt", CHANGE),
    Row("a number that is none", text("12345"), "registration-phone-invalid", FREE),
    Row("a number that takes no SMS", text("+7 495 123-45-67"), "registration-phone-type", FREE),
    NUMBER,
    Row("the number's update repeated", repeated(), "registration-code-prompt", FREE),
    Row("a code that is none", text("1234"), "registration-code-none", FREE),
    Row("a sticker at the code step", sticker, "registration-code-prompt", FREE),
    Row("a wrong code", wrong_code, "registration-code-wrong", CHANGE),
    Row("the wrong code's update repeated", repeated(), "registration-code-wrong", FREE),
    RIGHT_CODE,
    Row("the right code's update repeated", repeated(), None, Price(response=None)),
    # With the own link, which costs no look-up: it was made in the transaction that confirmed, and Redis keeps it.
    Row("a text after the end", text("hello"), "registration-done-invite", DONE_AGAIN),
    Row("/help after the end", text("/help"), "menu-help", FREE),
)

PRESSED_ROWS = (
    START,
    Row("an e-mail", email, "registration-terms-prompt", CHANGE),
    Row("the box", press("terms:toggle"), "terms-sentence-ticked", PRESSED_EDITS),
    Row("the box again", press("terms:toggle"), "terms-sentence", PRESSED_EDITS),
    Row("the button, box empty", press("terms:register"), "registration-terms-missing", PRESSED),
    Row("the way back to the terms", press("terms:continue"), "registration-terms-prompt", PRESSED),
    Row("the box at last", press("terms:toggle"), "terms-sentence-ticked", PRESSED_EDITS),
    Row("terms", press("terms:register"), "registration-phone-prompt", Price("change", ANSWERED)),
    Row("the terms' update repeated", repeated(), "registration-phone-prompt", FREE),
    Row("the country picker", label("button-country"), "registration-country-prompt", FREE),
    Row("its next page", press("country:page:1"), "registration-country-prompt", PRESSED_EDITS),
    Row("a country", press("country:choose:KZ"), "registration-country-chosen", PRESSED_EDITS),
    NUMBER,
    Row("an old button", press("terms:toggle"), "registration-code-prompt", PRESSED),
    Row("a resend too early", press("code:resend"), "code-help-resend-in", Price("change", {}, "answerCallbackQuery")),
    Row("change the number", press("phone:change"), "registration-phone-prompt", PRESSED),
    Row("/start in the middle", text("/start"), "start-greeting", Price("read", SPOKEN)),
    RIGHT_CODE,
)

AND_A_MARK = {**TWO_SCRIPTS, "SET": 1}
RIVAL = (
    START,
    Row("an e-mail", email, "registration-terms-prompt", CHANGE),
    Row("a yes to the terms", text("yes"), "terms-sentence-ticked", FREE),
    Row("terms", label("button-register"), "registration-phone-prompt", CHANGE),
)
# What costs more than the rest, each for its reason.
DEARER = (
    START,
    Row("/cancel, which says until when the account waits", text("/cancel"), "menu-cancel", READ),
    Row("going on", press("continue"), "registration-email-prompt", Price("read", ANSWERED)),
    Row("/language", text("/language"), "menu-language", FREE),
    # A word in the chosen language, then the step's question: two messages.
    Row("a language", press("language:ru"), "menu-language-chosen", Price("change", {**ANSWERED, **SPOKEN})),
    # Once in ten minutes, over all replicas: a mark in Redis.
    Row("the bot called in a group", in_group("/start@bench_bot"), "group-answer", Price(redis=AND_A_MARK)),
    Row("the bot called again", in_group("/start@bench_bot"), None, Price(redis=AND_A_MARK, response=None)),
    Row("a group's own talk", in_group("hello"), None, Price(response=None)),
    *RIVAL[1:],
    NUMBER,
)
# Who loses the address is told by the courier, and their conversation is dropped by one more script.
OVER_A_RIVAL = replace(RIGHT_CODE, price=Price("change", {"sendMessage": 2}, None, {"EVALSHA": 3}, courier=True))
# The press, and the final message: neither by the webhook response, since the message must be known to have arrived.
OLD_BUTTON = Row(
    "a press after the end",
    press("terms:toggle"),
    "registration-done",
    Price(calls={**ANSWERED, **SPOKEN}, response=None),
)


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


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def bench(valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Bench]:
    """One process in webhook mode on SQLite, which has done everything once: connections, scripts, announcements."""
    folder = tmp_path_factory.mktemp("counted")
    world, log, redis = World(), folder / "statements", connect(valkey.url)
    log.touch()
    await redis.flushall()
    await world.start()
    contender = Contender(_with_the_box(), Place(world.base_url, valkey.url, folder / "data"))
    try:
        await contender.start(_someone(world), "-m", "tests.bench.counted", str(log))
        line = await Line.open(contender.door.port)
        wire = Wire(contender.kind.token, world, Statements(log))
        async with monitored(redis, wire):
            bench = Bench(world, contender.door, line, wire, redis)
            somebody, rival = Chat(), Chat()
            rival.email = somebody.email
            for chat, rows in ((rival, RIVAL), (somebody, TYPED)):
                for row in rows:
                    await bench.sends(row, chat)
            await bench.work(courier=True)
            yield bench
        line.close()
    finally:
        await contender.stop()
        await world.stop()
        await redis.aclose()


def _with_the_box() -> Kind:
    """Return the bench's settings of this bot, but for the terms: with their box, which is pressed."""
    own = kinds()["a"]
    return replace(own, settings=lambda place, port: {**own.settings(place, port), "TERMS_STYLE": "checkbox"})


def _someone(world: World) -> Callable[[int, Door, Answers], Person]:
    return lambda number, door, answers: Person(number, world, door, answers)


async def test_what_each_update_of_a_typed_registration_costs(bench: Bench) -> None:
    found = await bench.journey(TYPED)
    assert not found, "\n".join(found)


async def test_what_each_press_costs(bench: Bench) -> None:
    found = await bench.journey(PRESSED_ROWS)
    assert not found, "\n".join(found)


async def test_what_costs_more_and_why(bench: Bench) -> None:
    winner, rival = Chat(), Chat()
    rival.email = winner.email
    found = await bench.journey(RIVAL, rival)
    found += await bench.journey([*DEARER, OVER_A_RIVAL, OLD_BUTTON], winner)
    assert not found, "\n".join(found)
