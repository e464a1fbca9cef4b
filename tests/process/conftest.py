from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.practice import LocalBotAPI
from tests.fakes.smsc import FakeSmsc
from tests.journeys.stage import Outside
from tests.ports import free_port
from tests.process.bot_process import BotProcess

SECRET = "a webhook secret of forty characters ok"


@pytest.fixture
async def outside() -> AsyncIterator[Outside]:
    """The world outside the process: Telegram and SMSC."""
    api, smsc = LocalBotAPI(), FakeSmsc()
    await api.start()
    await smsc.start()
    yield Outside(api, smsc)
    await api.stop()
    await smsc.stop()
    assert api.refusals == [], "Telegram refused a call"


@pytest.fixture(params=["polling", "webhook"])
def transport(request: pytest.FixtureRequest) -> str:
    """Both ways of receiving."""
    return str(request.param)


def bot_process(outside: Outside, transport: str, folder: Path, **settings: str) -> BotProcess:
    """Return the process, configured for these servers as an operator would."""
    port = free_port()
    values = {
        "BOT_TOKEN": outside.api.token,
        "TELEGRAM_API_BASE": outside.api.base_url,
        "SMS_GATEWAYS": "smsc",
        "SMSC_BASE_URL": outside.smsc.base_url,
        "SMSC_LOGIN": outside.smsc.login,
        "SMSC_PASSWORD": outside.smsc.password,
        "DAILY_BUDGET": "1000000",
        "CURRENCY": "RUB",
        "PRODUCT_NAME": "Smarty CRM",
        "DATA_DIR": str(folder / "data"),
        "HTTP_PORT": str(port),
    }
    if transport == "webhook":
        values |= {"WEBHOOK_URL": f"http://127.0.0.1:{port}", "WEBHOOK_SECRET": SECRET.replace(" ", "-")}
    return BotProcess(folder, **(values | settings))
