"""The tables of invitations by e-mail, for both databases. Every name and stored value here is permanent."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from storage.column_types import UtcDateTime
from storage.tables import metadata


class InvitationState(StrEnum):
    """What became of the letter. Stored names: permanent."""

    NEW = "new"
    SENDING = "sending"
    REPEATED = "repeated"
    """Being sent a second time, since the process that sent it first died over it."""
    SENT = "sent"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    FAILED = "failed"
    WITHHELD = "withheld"
    """Never sent: the address wants no letters, was written to lately, or is registered already."""


# `inviter` and `address` are marks (see `storage/marks.py`), `once` is SHA-256 of what the link holds, and `sealed` the
# address under a key that only the link holds. `sent_at`: the letter may have left, the last time. `email` and
# `invitee`, a Telegram id, are there only between the link's use and the account, which takes the address over.
invitations = sa.Table(
    "invitations",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("inviter", sa.LargeBinary, nullable=False),
    sa.Column("address", sa.LargeBinary, nullable=False),
    sa.Column("campaign_id", sa.BigInteger, nullable=False),
    sa.Column("once", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False, index=True),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("sent_at", UtcDateTime),
    sa.Column("used_at", UtcDateTime),
    sa.Column("invitee", sa.BigInteger),
    sa.Column("email", sa.Text),
    sa.Index(None, "inviter", "created_at"),
    sa.Index(None, "address", "sent_at"),
)
# Of those whose address waits for its account, by the condition in the migration.
sa.Index("ix_invitations_invitee", invitations.c.invitee)

# Who asked never to be written to again. For good: nobody's name, so nothing of it is ever erased.
mail_stops = sa.Table(
    "mail_stops",
    metadata,
    sa.Column("address", sa.LargeBinary, primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
)
