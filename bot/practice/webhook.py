"""Delivers updates to the bot's webhook: in order within a lane, lanes in parallel, again until they are accepted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import aiohttp

from bot.practice.parameters import Parameters, read_body
from bot.practice.refusals import Refused
from bot.practice.updates import Update, UpdateQueue
from bot.practice.world import Clock, Json

LONGEST_RETRY_AFTER = 3600.0
# What changes how updates arrive, or only asks, is not taken from a webhook's answer (source: public Bot API server).
NOT_IN_AN_ANSWER = ("get", "setwebhook", "deletewebhook", "close", "logout")

Execute = Callable[[str, Parameters], Awaitable[object]]


@dataclass(frozen=True)
class Pace:
    """Times of delivery in seconds. The first new try comes at once, the next pauses double, from `pause` upwards."""

    pause: float = 2.0
    longest_pause: float = 60.0
    timeout: float = 60.0


@dataclass(frozen=True)
class Delivery:
    """One try: the answer's status and body; status 0 when there was no answer, then `body` says why."""

    update_id: int
    status: int
    body: str


@dataclass
class Target:
    """What setWebhook said."""

    url: str = ""
    secret: str = ""
    max_connections: int = 40
    last_error: str = ""
    last_error_at: datetime | None = None


@dataclass
class _Answer:
    delivery: Delivery
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = ""
    raw: bytes = b""

    @property
    def accepted(self) -> bool:
        return 200 <= self.delivery.status < 300

    @property
    def retry_after(self) -> float | None:
        raw = self.headers.get("Retry-After", "")
        return min(float(raw), LONGEST_RETRY_AFTER) if raw.isdecimal() and int(raw) else None


class Webhook:
    """The delivering side. `execute` runs the method call in an answer; the bot never learns what became of it."""

    def __init__(
        self, queue: UpdateQueue, clock: Clock, pace: Pace, execute: Execute, on_try: Callable[[], None]
    ) -> None:
        self.target = Target()
        self.deliveries: list[Delivery] = []
        self._queue = queue
        self._clock = clock
        self._pace = pace
        self._execute = execute
        self._on_try = on_try
        self._copies = 1
        self._lanes: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(self.target.max_connections)
        self._session: aiohttp.ClientSession | None = None
        self._pointing = asyncio.Lock()

    @property
    def active(self) -> bool:
        """Whether a webhook is set."""
        return bool(self.target.url)

    async def point_to(self, target: Target) -> None:
        """Deliver to `target` from now on, what already waits included; an empty address stops delivering."""
        # Several replicas start at once, and each says the same.
        async with self._pointing:
            await self.stop()
            self.target = target
            self._places = asyncio.Semaphore(target.max_connections)
            if target.url:
                self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._pace.timeout))
            self.wake()

    async def stop(self) -> None:
        """End all deliveries; what was not accepted stays queued."""
        # A lane that began meanwhile would meet a closed session, and nobody would begin it anew.
        session, self._session = self._session, None
        tasks, self._lanes = list(self._lanes.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if session is not None:
            await session.close()

    def wake(self) -> None:
        """Start every lane that has something waiting and no delivery under way."""
        if self._session is None:
            return
        for update in self._queue.pending():
            if update.lane not in self._lanes:
                self._lanes[update.lane] = asyncio.create_task(self._run_lane(update.lane))

    def duplicate_next(self, copies: int) -> None:
        """Deliver the next try in `copies` parallel requests; only the first answer's method call is executed."""
        self._copies = copies

    async def again(self, update: Update, times: int, parallel: bool) -> list[str]:
        """Deliver an update once more, `times` times; the answers' bodies come back and are not executed."""
        if parallel:
            answers = await asyncio.gather(*(self._post(update) for _ in range(times)))
        else:
            answers = [await self._post(update) for _ in range(times)]
        return [answer.delivery.body for answer in answers]

    async def _run_lane(self, lane: str) -> None:
        try:
            while update := next((update for update in self._queue.pending() if update.lane == lane), None):
                await self._deliver(update)
        finally:
            if self._lanes.get(lane) is asyncio.current_task():
                del self._lanes[lane]

    async def _deliver(self, update: Update) -> None:
        pause = 0.0
        while not self._queue.expired(update) and not update.handled:
            answer = await self._try(update)
            if answer.accepted:
                await self._execute_answer(answer)
                break
            self.target.last_error = f"Wrong response from the webhook: {answer.delivery.body}"
            if answer.delivery.status:
                self.target.last_error = f"Wrong response from the webhook: {answer.delivery.status}"
            self.target.last_error_at = self._clock.now()
            await asyncio.sleep(pause if answer.retry_after is None else answer.retry_after)
            pause = min(2 * pause or self._pace.pause, self._pace.longest_pause)
        self._queue.handled(update)

    async def _try(self, update: Update) -> _Answer:
        copies, self._copies = self._copies, 1
        async with self._places:
            tries = [asyncio.create_task(self._post(update)) for _ in range(copies)]
            try:
                await asyncio.wait(tries)
            finally:
                for task in tries:
                    task.cancel()
        answers = [task.result() for task in tries]
        return next((answer for answer in answers if answer.accepted), answers[0])

    async def _post(self, update: Update) -> _Answer:
        if self._session is None:
            raise RuntimeError("no webhook is set: there is nowhere to deliver to")
        headers = {"X-Telegram-Bot-Api-Secret-Token": self.target.secret} if self.target.secret else {}
        try:
            async with self._session.post(
                self.target.url, json=update.as_json(), headers=headers, allow_redirects=False
            ) as response:
                raw = await response.read()
                delivery = Delivery(update.id, response.status, raw.decode("utf-8", "replace"))
                answer = _Answer(delivery, response.headers, response.content_type, raw)
        except TimeoutError:
            answer = _Answer(Delivery(update.id, 0, "Read timeout expired"))
        except aiohttp.ClientError as error:
            answer = _Answer(Delivery(update.id, 0, f"Connection failed: {error}"))
        self.deliveries.append(answer.delivery)
        self._on_try()
        return answer

    async def _execute_answer(self, answer: _Answer) -> None:
        if not answer.raw.strip():
            return
        try:
            parameters = await read_body(answer.headers, answer.content_type, answer.raw)
            method = parameters.values.pop("method", "")
            if method and not method.lower().startswith(NOT_IN_AN_ANSWER):
                await self._execute(method, parameters)
        except Refused:
            # The public server tells nobody about a bad answer either; the call itself is in the record.
            return


def webhook_info(target: Target, pending: int, allowed: list[str]) -> Json:
    """Return WebhookInfo of the Bot API."""
    info: Json = {
        "url": target.url,
        "has_custom_certificate": False,
        "pending_update_count": pending,
        "max_connections": target.max_connections,
        "allowed_updates": allowed,
    }
    if target.last_error_at is not None:
        info |= {
            "last_error_date": int(target.last_error_at.timestamp()),
            "last_error_message": target.last_error,
        }
    return info
