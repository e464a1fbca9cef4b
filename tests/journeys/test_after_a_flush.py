"""After Redis was flushed (F28): what is on the screen still works, typed as well as pressed."""

from __future__ import annotations

import pytest

from tests.journeys.stage import Stage


@pytest.mark.parametrize(
    ("label", "key"), [("button-code-missing", "code-help"), ("button-change-number", "registration-phone-prompt")]
)
async def test_f28_a_label_typed_at_the_code_step_is_understood(
    stage: Stage, language: str, label: str, key: str
) -> None:
    ira = stage.someone(language)
    await ira.reaches_code()
    await stage.app.stores.redis.flushall()
    await ira.says(ira.label(label))
    ira.expects(key)
    await ira.says(await ira.code() if label == "button-code-missing" else ira.phone)
    if label == "button-change-number":
        await ira.says(await ira.code())
    ira.expects("registration-done")


async def test_f28_the_reply_keyboard_works_and_then_goes(stage: Stage) -> None:
    ira = stage.someone()
    await ira.reaches_phone()
    await stage.app.stores.redis.flushall()
    await ira.taps(ira.label("button-country"))
    ira.expects("registration-country-prompt")
    await stage.app.stores.redis.flushall()
    await ira.taps(ira.label("button-share-contact"))
    ira.expects("registration-code-prompt")
    assert not ira.has_keyboard()
    await ira.finishes()
