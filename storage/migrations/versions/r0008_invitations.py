"""Invitations by e-mail, and who wants none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

WAITS = sa.text("invitee IS NOT NULL")


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "invitations",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("inviter", sa.LargeBinary, nullable=False),
        sa.Column("address", sa.LargeBinary, nullable=False),
        sa.Column("campaign_id", sa.BigInteger, nullable=False),
        sa.Column("once", sa.LargeBinary, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("sent_at", moment),
        sa.Column("used_at", moment),
        sa.Column("invitee", sa.BigInteger),
        sa.Column("email", sa.Text),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitations")),
        sa.UniqueConstraint("once", name=op.f("uq_invitations_once")),
    )
    op.create_index(op.f("ix_invitations_created_at"), "invitations", ["created_at"])
    op.create_index(op.f("ix_invitations_inviter_created_at"), "invitations", ["inviter", "created_at"])
    op.create_index(op.f("ix_invitations_address_sent_at"), "invitations", ["address", "sent_at"])
    op.create_index(
        op.f("ix_invitations_invitee"), "invitations", ["invitee"], sqlite_where=WAITS, postgresql_where=WAITS
    )
    op.create_table(
        "mail_stops",
        sa.Column("address", sa.LargeBinary, nullable=False),
        sa.Column("at", moment, nullable=False),
        sa.PrimaryKeyConstraint("address", name=op.f("pk_mail_stops")),
    )


def downgrade() -> None:
    op.drop_table("mail_stops")
    op.drop_table("invitations")
