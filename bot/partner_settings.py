"""Who hands out links on the operator's behalf."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_settings import BaseSettings, NoDecode

from bot.setting_types import list_of


def read_person(value: Any) -> int:
    """Read a person's Telegram id. Raises ValueError, saying what to write."""
    if not re.fullmatch(r"[1-9][0-9]{0,17}", str(value)):
        raise ValueError(f"{str(value)!r} is no person's id in Telegram; write a whole number, for example 123456789")
    return int(value)


class PartnerSettings(BaseSettings):
    """By id in Telegram, since names change hands."""

    staff_ids: Annotated[
        tuple[int, ...], NoDecode, BeforeValidator(list_of(read_person, "the Telegram ids of staff"))
    ] = ()
