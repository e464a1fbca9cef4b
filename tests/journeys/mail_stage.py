"""The stage with a mail server beside it, whose certificate the bot is told to trust as an operator tells it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from tests.fakes.mail import FakeMail, parts
from tests.journeys.stage import Registrant, Stage, on_stage
from tests.ports import free_port
from tests.sql import connected


@dataclass
class MailStage(Stage):
    """A stage with a mail server."""

    mail: FakeMail
    base_url: str

    async def rows(self, table: sa.Table, *where: sa.ColumnElement[bool]) -> list[Any]:
        """All rows of a table."""
        async with connected(self.app.stores.database) as conn:
            return list((await conn.execute(sa.select(table).where(*where))).all())


@asynccontextmanager
async def on_mail_stage(
    database_url: str, redis_url: str, folder: Path, mail: FakeMail, **other: Any
) -> AsyncIterator[MailStage]:
    """Run the bot with this mail server, which listens already."""
    port = free_port()
    settings = {**mail.settings(), "public_url": f"http://127.0.0.1:{port}", "http_port": port, "gateway_timeout": "2s"}
    async with on_stage(database_url, redis_url, folder, **{**settings, **other}) as stage:
        own = {field.name: getattr(stage, field.name) for field in fields(Stage)}
        yield MailStage(**own, mail=mail, base_url=f"http://127.0.0.1:{port}")


def payload_in(letter: EmailMessage) -> str:
    """Return what the letter's link tells the bot; both its parts must have the same."""
    text, html = parts(letter)
    payload: str
    (payload,) = set(re.findall(r"https://t\.me/\w+\?start=(i_[A-Za-z0-9_-]{24})(?![A-Za-z0-9_-])", text))
    assert set(re.findall(r"\?start=([A-Za-z0-9_-]+)", html)) == {payload}
    return payload


def stop_url_in(letter: EmailMessage) -> str:
    """Return where its reader asks for no more."""
    return str(letter["List-Unsubscribe"]).strip("<>")


async def follows(person: Registrant, payload: str) -> None:
    """Open the link and press Start."""
    await person.person.follow_link(payload)
    await person.person.settled()


async def goes_on_from_terms(person: Registrant) -> None:
    """From the terms to the end: no address was asked for."""
    person.expects("registration-terms-prompt")
    await person.presses(person.label("terms-consent"))
    await person.presses(person.label("button-register"))
    await person.says(person.phone)
    await person.finishes()
