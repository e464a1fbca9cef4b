"""Who is registered elsewhere, as HMACs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "known_accounts",
        sa.Column("value_hmac", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("imported_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index(op.f("ix_known_accounts_imported_at"), "known_accounts", ["imported_at"])


def downgrade() -> None:
    op.drop_table("known_accounts")
