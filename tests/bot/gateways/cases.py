"""One message, and the vendors whose gateways must stand the same faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from pydantic import SecretStr

from bot.gateways.smsaero import make_smsaero
from bot.gateways.smsc import make_smsc
from bot.gateways.smsru import make_smsru
from bot.settings import Settings
from handlers.ports import CodeMessage, Gateway
from storage.clock import Clock
from storage.models import Channel
from tests.fakes.smsaero import FakeSmsAero
from tests.fakes.smsc import FakeSmsc
from tests.fakes.smsru import FakeSmsRu
from tests.fakes.vendor import FakeVendor

NUMBER = "+79161234567"
CODE = "123456"
TEXT = "123456 – код CRM"
ID = UUID("5f0c3b1e-3c56-4a0b-9f3f-7f6d2f0f9a11")
MESSAGE = CodeMessage(NUMBER, TEXT, CODE, "ru", Channel.SMS, ID, timedelta(minutes=10))
REPORTS = "https://bot.example.com/reports/"


def message(**changes: Any) -> CodeMessage:
    return replace(MESSAGE, **changes)


@dataclass(frozen=True)
class Vendor:
    """A fake, the settings of an account there, and what makes its gateway. `setting`: how its settings begin."""

    fake: FakeVendor
    account: dict[str, Any]
    make: Callable[[Settings, Clock, str | None], Gateway]
    setting: str

    def gateway(self, clock: Clock, base_url: str = "", timeout: float = 5.0, **other: Any) -> Gateway:
        name = self.setting.lower()
        given: dict[str, Any] = {f"{name}base_url": base_url or self.fake.base_url}
        given |= self.account | {"gateway_timeout": timedelta(seconds=timeout)} | other
        return self.make(Settings(**given), clock, f"{REPORTS}{name.rstrip('_')}/{'5ec2e7' * 8}")

    def secrets(self) -> list[str]:
        return [value.get_secret_value() for value in self.account.values() if isinstance(value, SecretStr)]


def of_smsc() -> Vendor:
    fake = FakeSmsc()
    account = {
        "smsc_login": fake.login,
        "smsc_password": SecretStr(fake.password),
        "smsc_sender": "SHOP",
        "smsc_report_secret": SecretStr(fake.secret),
    }
    return Vendor(fake, account, make_smsc, "SMSC_")


def of_smsru() -> Vendor:
    fake = FakeSmsRu()
    return Vendor(fake, {"smsru_api_id": SecretStr(fake.api_id), "smsru_sender": "SHOP"}, make_smsru, "SMSRU_")


def of_smsaero() -> Vendor:
    fake = FakeSmsAero()
    account = {
        "smsaero_email": fake.email,
        "smsaero_api_key": SecretStr(fake.api_key),
        "smsaero_sign": fake.sign,
    }
    return Vendor(fake, account, make_smsaero, "SMSAERO_")


VENDORS = {"smsc": of_smsc, "smsru": of_smsru, "smsaero": of_smsaero}
