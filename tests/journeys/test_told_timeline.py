"""What happened to a code, in plain words: every state of a send has its own, and its own notice where one is due."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from handlers.registration.code import TIMELINE
from storage.models import SendState
from storage.tables import sends
from tests.fakes.smsc import Fault
from tests.journeys.stage import Stage
from tests.sql import connected

WORDS = {
    SendState.QUEUED: "code-help-queued",
    SendState.SENDING: "code-help-queued",
    SendState.ACCEPTED: "code-help-accepted",
    SendState.DELIVERED: "code-help-delivered",
    SendState.UNDELIVERED: "code-help-undelivered",
    SendState.UNKNOWN: "code-help-unknown",
    SendState.FAILED: "code-help-failed",
    SendState.REFUSED: "code-help-refused",
}


def test_every_state_has_its_words() -> None:
    assert WORDS == TIMELINE
    assert set(WORDS) == set(SendState)


async def test_the_help_names_each_state(stage: Stage, language: str) -> None:
    ira = stage.someone(language)
    await ira.reaches_code()
    await ira.code()
    for state, key in WORDS.items():
        async with connected(stage.app.stores.database) as connection:
            await connection.execute(update(sends).values(state=state))
        await ira.presses(ira.label("button-code-missing"))
        ira.expects("code-help")
        ira.expects(key)


@pytest.mark.parametrize(
    ("fault", "notice"),
    [(7, "notice-code-undeliverable"), (8, "notice-code-undeliverable"), (None, "notice-code-unknown")],
)
async def test_a_code_that_did_not_leave_is_told_in_the_persons_language(
    stage: Stage, language: str, fault: int | None, notice: str
) -> None:
    ira = stage.someone(language)
    await ira.reaches_phone()
    stage.smsc.faults.append(Fault(error_code=fault, drop=fault is None, takes=fault is None))
    await ira.says(ira.phone)
    await ira.is_told(notice)
    if fault is None:
        await ira.finishes()
        assert len(stage.smsc.messages) == 1
        return
    await ira.presses(ira.label("button-change-number"))
    await ira.says("+79035550009")
    await ira.says(await ira.code("+79035550009"))
    ira.expects("registration-done")
