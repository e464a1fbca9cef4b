"""What the CRM is asked, and what its answers mean. The receiver is `standardwebhooks`' own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest
from pydantic import SecretStr

from bot.crm_settings import CrmSettings, signing_key
from bot.gateways.crm_lookup import CrmLookup
from storage.clock import SystemClock
from tests.fakes.crm import NEW_SECRET, SECRET, Answer, FakeCrm

NUMBER, ADDRESS = "+79161234567", "ira@example.org"
CLOCK = SystemClock()
Make = Callable[..., CrmLookup]


@pytest.fixture
async def crm() -> AsyncIterator[FakeCrm]:
    fake = FakeCrm(CLOCK)
    await fake.start()
    fake.known = {NUMBER, ADDRESS}
    yield fake
    await fake.stop()


@pytest.fixture
async def make(crm: FakeCrm) -> AsyncIterator[Make]:
    """Return what makes a look-up, closed at the end."""
    made: list[CrmLookup] = []

    def one(url: str | None = None, *secrets: str, seconds: float = 5) -> CrmLookup:
        keys = [signing_key(SecretStr(secret)) for secret in secrets or (SECRET,)]
        made.append(CrmLookup(url or crm.lookup_url, keys, timedelta(seconds=seconds)))
        return made[-1]

    yield one
    for lookup in made:
        await lookup.close()


async def test_a_number_and_an_address_are_asked_for_by_signed_calls(crm: FakeCrm, make: Make) -> None:
    lookup = make()
    assert await lookup.has_number(NUMBER, CLOCK.now())
    assert await lookup.has_address(ADDRESS, CLOCK.now())
    assert not await lookup.has_number("+79161234568", CLOCK.now())
    assert not await lookup.has_address("oleg@example.org", CLOCK.now())
    assert crm.looked_up == [NUMBER, ADDRESS, "+79161234568", "oleg@example.org"]


async def test_f43_either_secret_verifies_a_question(crm: FakeCrm, make: Make) -> None:
    for known in (SECRET, NEW_SECRET):
        other = FakeCrm(CLOCK, known)
        await other.start()
        other.known = {NUMBER}
        assert await make(other.lookup_url, NEW_SECRET, SECRET).has_number(NUMBER, CLOCK.now())
        await other.stop()


async def test_an_answer_in_pieces_is_read_whole(crm: FakeCrm, make: Make) -> None:
    crm.lookup_answers.append(Answer(200, body=b'{"exists": true, "more": ["to", "ignore"]}', pieces=True))
    assert await make().has_number(NUMBER, CLOCK.now())


YES = b'{"exists": true}'
NO_ANSWERS = [
    Answer(500, body=YES), Answer(503, body=YES), Answer(404, body=YES), Answer(401, body=YES), Answer(204),
    Answer(302, {"Location": "/elsewhere"}), Answer(307, {"Location": "/elsewhere"}), Answer(drop=True),
    Answer(200), Answer(200, body=b"true"), Answer(200, body=b"<html>yes</html>"), Answer(200, body=b"\xff\xfe"),
    Answer(200, body=b'{"exists": "yes"}'), Answer(200, body=b'{"exists": 1}'), Answer(200, body=b'{"exist": true}'),
    Answer(200, body=b"[" * 4000), Answer(200, body=YES + b" " * 5000), Answer(200, body=b"x" * 5_000_000),
]  # fmt: skip


@pytest.mark.parametrize("answer", NO_ANSWERS, ids=lambda answer: f"{answer.status}-{answer.body[:12]!r}")
async def test_f41_what_is_no_answer_counts_as_new(crm: FakeCrm, make: Make, answer: Answer) -> None:
    """T27 too: where a redirect leads, nobody goes."""
    crm.lookup_answers.append(answer)
    lookup, now = make(), CLOCK.now()
    async with asyncio.timeout(5):
        assert not await lookup.has_number(NUMBER, now)
    assert await lookup.has_number(NUMBER, now + timedelta(seconds=11))


async def test_f41_a_late_answer_counts_as_new(crm: FakeCrm, make: Make) -> None:
    crm.looking_up.clear()
    began = time.monotonic()
    assert not await make(seconds=0.2).has_number(NUMBER, CLOCK.now())
    assert time.monotonic() - began < 3
    assert CrmSettings().crm_lookup_timeout == timedelta(seconds=3)


async def test_f41_who_waits_for_a_connection_waits_no_longer_than_who_has_one(crm: FakeCrm, make: Make) -> None:
    crm.looking_up.clear()
    lookup, began = make(seconds=0.5), time.monotonic()
    assert not any(await asyncio.gather(*(lookup.has_number(NUMBER, CLOCK.now()) for _ in range(40))))
    assert time.monotonic() - began < 4


async def test_f41_a_crm_that_is_not_there_counts_as_new(crm: FakeCrm, make: Make) -> None:
    lookup = make()
    await crm.stop()
    assert not await lookup.has_number(NUMBER, CLOCK.now())
    assert not await make("https://crm.invalid/lookup").has_number(NUMBER, CLOCK.now())


async def test_after_a_failure_nobody_waits_for_a_while(crm: FakeCrm, make: Make) -> None:
    lookup, now = make(), CLOCK.now()
    crm.lookup_answers.append(Answer(503))
    assert not await lookup.has_number(NUMBER, now)
    for seconds in (0, 1, 9.9):
        assert not await lookup.has_number(NUMBER, now + timedelta(seconds=seconds))
        assert not await lookup.has_address(ADDRESS, now + timedelta(seconds=seconds))
    assert len(crm.looked_up) == 1
    assert await lookup.has_number(NUMBER, now + timedelta(seconds=10))
    assert await lookup.has_address(ADDRESS, now + timedelta(seconds=10))


async def test_a_clock_that_is_set_back_does_not_prolong_the_rest(crm: FakeCrm, make: Make) -> None:
    lookup, now = make(), CLOCK.now()
    crm.lookup_answers.append(Answer(503))
    # A minute ahead, within what a signature may be off.
    assert not await lookup.has_number(NUMBER, now + timedelta(seconds=60))
    assert await lookup.has_number(NUMBER, now)


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "http://[fe80::1]/", "http://0.0.0.0:{port}/lookup"])
async def test_t27_a_forbidden_address_is_never_asked(crm: FakeCrm, make: Make, url: str) -> None:
    """Even when no reader of settings has seen it. 0.0.0.0 is this machine, so the CRM would answer."""
    port = crm.lookup_url.rsplit(":", 1)[1].partition("/")[0]
    async with asyncio.timeout(5):
        assert not await make(url.format(port=port)).has_number(NUMBER, CLOCK.now())
    assert crm.looked_up == []


async def test_a_connection_that_the_crm_closes_after_each_answer_is_no_failure(crm: FakeCrm, make: Make) -> None:
    lookup = make()
    for _ in range(5):
        crm.lookup_answers.append(Answer(200, {"Connection": "close"}, body=YES))
        assert await lookup.has_number(NUMBER, CLOCK.now())


async def test_nothing_that_is_asked_or_answered_is_logged(
    crm: FakeCrm, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for answer in (Answer(500), Answer(200, body=b"no JSON with " + NUMBER.encode())):
        crm.lookup_answers.append(answer)
        assert not await make().has_number(NUMBER, CLOCK.now())
    assert [record.levelname for record in caplog.records if record.name.startswith("bot.")] == ["WARNING"] * 2
    assert "HTTP 500" in caplog.text
    for secret in (NUMBER, NUMBER[1:], SECRET, "no JSON"):
        assert secret not in caplog.text
