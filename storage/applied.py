"""Which updates were applied, and with what outcome: a redelivered update gets the same answer and no second effect.

An outcome holds no personal data; the account and its number are read again when it is recalled.
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from storage import errors
from storage.errors import Limit, NoAccount, Refusal
from storage.models import CodeSent, Progress, UpdateRef
from storage.records import account_of
from storage.rows import insert_unless_there
from storage.statements import Connection, Statement
from storage.tables import applied_updates

_IS_IT = sa.and_(
    applied_updates.c.telegram_id == sa.bindparam("person"), applied_updates.c.update_id == sa.bindparam("update")
)
_RECALL = Statement(sa.select(applied_updates.c.outcome).where(_IS_IT))
_REFUSALS = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Refusal)}


class AppliedBefore(Exception):
    """This update's effects are there already: what was done again must be undone, and the kept outcome recalled."""

    def __init__(self, update: UpdateRef) -> None:
        super().__init__(update)
        self.update = update


async def keep(conn: Connection, update: UpdateRef, outcome: object, now: datetime) -> None:
    """Keep what the update came to, in the transaction that did it. Raises AppliedBefore.

    On PostgreSQL it waits for another transaction that is applying the same update.
    """
    row = {"telegram_id": update.telegram_id, "update_id": update.update_id, "outcome": encode(outcome), "at": now}
    if not await insert_unless_there(conn, applied_updates, **row):
        raise AppliedBefore(update)


async def recall(conn: Connection, update: UpdateRef) -> object:
    """Return the kept outcome: a value, or a Refusal instance. NoAccount when the account it spoke of is gone."""
    kept = (await conn.execute(_RECALL, person=update.telegram_id, update=update.update_id)).scalar_one()
    kind = kept["kind"]
    if kind == "value":
        return kept["value"]
    if kind == "refusal":
        return _decode_refusal(kept)
    account = await account_of(conn, update.telegram_id)
    if account is None:
        return NoAccount()
    number = account.asked_number or account.phone
    if kind == "code_sent" and number is not None:
        return CodeSent(account, number, kept["queued"], _moment(kept["resend_at"]), kept["is_new"])
    return Progress(account, kept.get("confirmed_now", False), tuple(kept.get("displaced", ())))


def encode(outcome: object) -> dict[str, Any]:
    """Return an outcome as small JSON; raises TypeError for what is none."""
    if isinstance(outcome, Progress):
        return {"kind": "progress", "confirmed_now": outcome.confirmed_now, "displaced": list(outcome.displaced)}
    if isinstance(outcome, CodeSent):
        resend_at = _text(outcome.resend_at)
        return {"kind": "code_sent", "queued": outcome.queued, "resend_at": resend_at, "is_new": outcome.is_new}
    if isinstance(outcome, Refusal):
        return {"kind": "refusal", "name": type(outcome).__name__, **_data(outcome)}
    if outcome is None or isinstance(outcome, bool):
        return {"kind": "value", "value": outcome}
    raise TypeError(f"{type(outcome).__name__} is no outcome of an update")


def _data(refusal: Refusal) -> dict[str, Any]:
    values = {name: getattr(refusal, name) for name in _names(type(refusal))}
    return {name: _text(value) if isinstance(value, datetime) else value for name, value in values.items()}


def _decode_refusal(kept: dict[str, Any]) -> Refusal:
    kind = _REFUSALS[kept["name"]]
    values = {name: kept[name] for name in _names(kind)}
    if "retry_at" in values:
        values["retry_at"] = _moment(values["retry_at"])
    if "limit" in values:
        values["limit"] = Limit(values["limit"])
    return kind(**values)


def _names(kind: type[Any]) -> tuple[str, ...]:
    if kind.__module__ != errors.__name__ or not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is no refusal of the storage")
    return tuple(field.name for field in fields(kind))


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
