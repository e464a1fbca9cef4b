"""An index of what each country's codes cost and whether they were entered: it is summed up before every send."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(op.f("ix_sends_country_at_price_entered_at"), "sends", ["country", "at", "price", "entered_at"])


def downgrade() -> None:
    op.drop_index(op.f("ix_sends_country_at_price_entered_at"), "sends")
