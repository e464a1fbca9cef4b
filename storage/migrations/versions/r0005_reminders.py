"""An index of who is still to be reminded."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TO_REMIND = sa.text("status = 'pending' AND reminded_at IS NULL AND blocked_at IS NULL")


def upgrade() -> None:
    op.create_index(
        op.f("ix_accounts_status_expires_at_to_remind"),
        "accounts",
        ["status", "expires_at"],
        sqlite_where=TO_REMIND,
        postgresql_where=TO_REMIND,
    )


def downgrade() -> None:
    op.drop_index(op.f("ix_accounts_status_expires_at_to_remind"), "accounts")
