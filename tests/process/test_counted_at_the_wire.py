"""What one update costs, counted where it leaves the process: Redis commands, SQL transactions, outgoing calls.

A row is one update, what it is answered, and its price. Two Redis commands, both scripts, are the price of every one.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
import pytest_asyncio

from bot.valkey import Valkey
from storage.redis import connect
from tests.bench.contenders import Contender, Kind, Place, kinds
from tests.bench.counting import Statements, Wire, monitored
from tests.bench.people import Answers, Door, Person
from tests.bench.wire import Line
from tests.process.counted_updates import (
    NUMBER,
    SPOKEN,
    TWO_SCRIPTS,
    Bench,
    Chat,
    Price,
    Row,
    World,
    code,
    email,
    in_group,
    label,
    press,
    repeated,
    sticker,
    text,
    wrong_code,
)

FREE = Price()
READ = Price("read")
CHANGE = Price("change")
ANSWERED = {"answerCallbackQuery": 1}
# A press is answered by a new message, or by an edit of its own one: either way one call goes out, one in the response.
PRESSED = Price(calls=ANSWERED)
PRESSED_EDITS = Price(calls={"editMessageText": 1}, response="answerCallbackQuery")

START = Row("the very first /start", text("/start"), "start-greeting", READ)
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
