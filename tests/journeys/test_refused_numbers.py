"""Numbers that no code is ever sent to: the reason is said, the event is logged, and no number stands in the log."""

from __future__ import annotations

import logging
import re

import pytest
from sqlalchemy import select

from storage.tables import sends
from tests.journeys.stage import Stage
from tests.sql import connected


@pytest.mark.parametrize(
    ("typed", "key", "logged"),
    [
        ("+380 50 123 45 67", "registration-phone-country", "CountryNotAllowed UA"),
        ("8 809 505 12 34", "registration-phone-type", "NumberTypeRefused"),
        ("+888 0123 4567", "registration-phone-anonymous", "AnonymousNumber"),
    ],
)
async def test_t02_t11_a_number_that_gets_no_code_is_logged_without_itself(
    stage: Stage, caplog: pytest.LogCaptureFixture, typed: str, key: str, logged: str
) -> None:
    caplog.set_level(logging.DEBUG)
    ira = stage.someone()
    await ira.reaches_phone()
    caplog.clear()
    await ira.says(typed)
    ira.expects(key)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith(("bot", "handlers", "storage"))]
    assert any(logged in line for line in lines), lines
    assert not any(re.sub(r"\D", "", typed)[-7:] in re.sub(r"\D", "", line) for line in lines)
    async with connected(stage.app.stores.database) as connection:
        assert (await connection.execute(select(sends.c.id))).all() == []
    assert stage.smsc.requests == 0
    await ira.says(ira.phone)
    await ira.finishes()
