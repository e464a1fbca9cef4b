"""Virtual people: each goes through the whole conversation and writes on only after the answer to the last message."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.bench.outside import CODE, Outside
from tests.bench.wire import Line, WireError

STEPS = ("start", "email", "terms", "phone", "code")
# Far above any latency worth a figure: what takes longer is a failure.
ANSWER_WITHIN = 30.0
# A contender that answers nobody is not asked for ever.
_ENOUGH_FAILURES = 25

_update_ids = itertools.count(500_000_001)


class JourneyFailed(Exception):
    """A person did not get the answer that goes with the step."""


@dataclass(frozen=True)
class Door:
    """Where a contender takes updates, and what it says: a piece of the right answer for each of the five steps."""

    port: int
    path: str
    headers: str
    expected: tuple[str, ...]
    by_sms: bool


@dataclass
class Answers:
    """What a crowd met with. Seconds throughout; `moments` are perf_counter, one for each of `latencies`."""

    latencies: list[float] = field(default_factory=list)
    moments: list[float] = field(default_factory=list)
    codes_after: list[float] = field(default_factory=list)
    finished: int = 0
    failures: list[str] = field(default_factory=list)


class Person:
    """One person: their own id, address and number. The numbers differ before their last four digits, too."""

    def __init__(self, number: int, outside: Outside, door: Door, answers: Answers) -> None:
        self.id = 100_000_000 + number
        self.phone = f"+791{number % 10_000:04d}{number // 10_000 % 10_000:04d}"
        self._outside = outside
        self._door = door
        self._answers = answers
        self._message_ids = itertools.count(1)
        self._expected = ""
        self._answered: asyncio.Future[tuple[str, float]]
        self._last = ""

    async def registers(self, line: Line, think: float = 0.0) -> None:
        """Go the whole way; `think` is how many seconds they read before writing on. Raises JourneyFailed."""
        with self.listening():
            for step in STEPS:
                await self.does(step, line)
                if think:
                    await asyncio.sleep(think)
            self._answers.finished += 1

    async def starts(self, line: Line) -> None:
        """Say /start and leave it at that. Raises JourneyFailed."""
        with self.listening():
            await self.does("start", line)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Look at the chat and at the phone inside the block."""
        self._outside.listen(self.id, self._hears)
        try:
            yield
        finally:
            self._outside.leave(self.id)
            self._outside.hang_up(self.phone)

    async def does(self, step: str, line: Line) -> None:
        """Take one step: write, and wait for the answer. Raises JourneyFailed."""
        text = await self._text(step)
        self._expected = self._door.expected[STEPS.index(step)]
        self._answered = asyncio.get_running_loop().create_future()
        body = self._update(text)
        began = time.perf_counter()
        if step == "phone" and self._door.by_sms:
            arrival = self._outside.phone(self.phone)
            arrival.add_done_callback(lambda sms: self._sms_came(sms, began))
        try:
            async with asyncio.timeout(ANSWER_WITHIN):
                self._reads(*await line.post(self._door.path, body, self._door.headers))
                self._last, answered = await self._answered
        except TimeoutError:
            raise JourneyFailed(f"{step}: no answer in {ANSWER_WITHIN:.0f} s, last heard: {self._last!r}") from None
        except WireError as error:
            raise JourneyFailed(f"{step}: {error}") from error
        self._answers.latencies.append(answered - began)
        self._answers.moments.append(answered)

    def _reads(self, status: int, body: bytes) -> None:
        if status != 200:
            raise JourneyFailed(f"the webhook answered {status}")
        reply = json.loads(body) if body else {}
        if reply:
            self._outside.say(reply["method"], reply)

    def _hears(self, text: str, moment: float) -> None:
        if self._expected in text and not self._answered.done():
            self._answered.set_result((text, moment))
        self._last = text

    def _sms_came(self, sms: asyncio.Future[tuple[str, float]], asked: float) -> None:
        if not sms.cancelled():
            self._answers.codes_after.append(sms.result()[1] - asked)

    async def _text(self, step: str) -> str:
        if step == "code":
            return await self._code()
        email = f"person{self.id}@example.org"
        return {"start": "/start", "email": email, "terms": "Регистрация", "phone": self.phone}[step]

    async def _code(self) -> str:
        if self._door.by_sms:
            try:
                async with asyncio.timeout(ANSWER_WITHIN):
                    return (await self._outside.phone(self.phone))[0]
            except TimeoutError:
                raise JourneyFailed("code: no SMS came") from None
        said = CODE.search(self._last)
        if said is None:
            raise JourneyFailed(f"code: none was said in {self._last!r}")
        return said[0]

    def _update(self, text: str) -> bytes:
        return json.dumps(update_of(message=message_of(self.id, next(self._message_ids), text=text))).encode()


def update_of(**content: object) -> dict[str, object]:
    """Return an update with an id of its own; `content` is its kind and that kind's object (Bot API, Update)."""
    return {"update_id": next(_update_ids), **content}


def user_of(person_id: int) -> dict[str, object]:
    """Return a person as updates show them (Bot API, User)."""
    return {"id": person_id, "is_bot": False, "first_name": "Ира", "language_code": "ru"}


def message_of(person_id: int, message_id: int, **content: object) -> dict[str, object]:
    """Return a message in this person's private chat; `content` is `text`, `sticker` and so on (Bot API, Message)."""
    message: dict[str, object] = {
        "message_id": message_id, "date": int(time.time()), "from": user_of(person_id),
        "chat": {"id": person_id, "type": "private", "first_name": "Ира"}, **content,
    }  # fmt: skip
    text = content.get("text")
    if isinstance(text, str) and text.startswith("/"):
        message["entities"] = [{"type": "bot_command", "offset": 0, "length": len(text)}]
    return message


class Crowd:
    """So many people at once, each slot taken by the next person when one has finished."""

    def __init__(self, outside: Outside, door: Door, numbers: Iterator[int]) -> None:
        self._outside = outside
        self._door = door
        self._numbers = numbers
        self.answers = Answers()

    async def registers(self, people: int, seconds: float, think: float = 0.0) -> Answers:
        """Let them come for so many seconds; who came finishes."""
        until = time.perf_counter() + seconds

        async def once(line: Line) -> None:
            await self._someone().registers(line, think)

        return await self._together(people, once, lambda: time.perf_counter() < until)

    async def starts(self, people: int, conversations: int, seconds: float) -> Answers:
        """Begin so many conversations, each by another person, or as many as fit into so many seconds."""
        left, until = iter(range(conversations)), time.perf_counter() + seconds

        async def once(line: Line) -> None:
            await self._someone().starts(line)

        return await self._together(people, once, lambda: time.perf_counter() < until and next(left, None) is not None)

    def _someone(self) -> Person:
        return Person(next(self._numbers), self._outside, self._door, self.answers)

    async def _together(
        self, people: int, once: Callable[[Line], Awaitable[None]], more: Callable[[], bool]
    ) -> Answers:
        await asyncio.gather(*(self._slot(once, more) for _ in range(people)))
        return self.answers

    async def _slot(self, once: Callable[[Line], Awaitable[None]], more: Callable[[], bool]) -> None:
        line: Line | None = None
        failures = self.answers.failures
        while len(failures) < _ENOUGH_FAILURES and more():
            try:
                line = line or await Line.open(self._door.port)
                await once(line)
            except (JourneyFailed, OSError) as error:
                failures.append(str(error))
                if line:
                    line.close()
                line = None
        if line:
            line.close()
