"""What sending is decided by: entered codes, the budget's sum, closed ranges, delivery reports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.add_column("sends", sa.Column("entered_at", MOMENT))
    op.add_column("sends", sa.Column("left_at", MOMENT))
    op.create_index(op.f("ix_sends_at_price"), "sends", ["at", "price"])
    op.create_index(op.f("ix_sends_gateway_provider_id"), "sends", ["gateway", "provider_id"])
    op.create_table(
        "prefix_blocks",
        sa.Column("prefix_hmac", sa.Text, nullable=False),
        sa.Column("blocked_at", MOMENT, nullable=False),
        sa.Column("until", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("prefix_hmac", name=op.f("pk_prefix_blocks")),
    )
    op.create_table(
        "early_reports",
        sa.Column("gateway", sa.Text, nullable=False),
        sa.Column("provider_id", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("gateway", "provider_id", name=op.f("pk_early_reports")),
    )
    op.create_index(op.f("ix_early_reports_at"), "early_reports", ["at"])


def downgrade() -> None:
    op.drop_table("early_reports")
    op.drop_table("prefix_blocks")
    op.drop_index(op.f("ix_sends_gateway_provider_id"), "sends")
    op.drop_index(op.f("ix_sends_at_price"), "sends")
    op.drop_column("sends", "left_at")
    op.drop_column("sends", "entered_at")
