"""Marks: who somebody is, in 16 bytes. Half of the HMAC that stands for them in the ledger, so nobody by themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from storage.ledger import under

_LENGTH = 16


def mark(hmac: str) -> bytes:
    """Return the mark of what has this hex HMAC (`Keys.person`, `Keys.number`)."""
    return bytes.fromhex(hmac)[:_LENGTH]


def mark_is(column: sa.Column[bytes], *names: str) -> sa.ColumnElement[bool]:
    """Match the marks of these names, each under the key in force or the one before it: see `marks`."""
    both = [name for first in names for name in (first, f"{first}_before")]
    return column.in_([sa.bindparam(name, type_=sa.LargeBinary) for name in both])


def marks(name: str, hmacs: Sequence[str]) -> dict[str, Any]:
    """Return the parameters of `mark_is` for one name, from all HMACs that the value may have."""
    return {key: mark(hmac) for key, hmac in under(name, hmacs).items()}
