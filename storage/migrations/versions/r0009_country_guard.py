"""What limits are counted over, without what was refused: under attack that is most of the ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

PAID = sa.text("price > 0")
ADMITTED = sa.text("refused_by IS NULL")
COUNTED = ("number_hmac", "prefix_hmac")


def upgrade() -> None:
    op.create_index("ix_sends_at_price_paid", "sends", ["at", "price"], sqlite_where=PAID, postgresql_where=PAID)
    # What each country's codes cost and whether they were entered: summed up before every send.
    op.create_index(
        op.f("ix_sends_country_at_price_entered_at"),
        "sends",
        ["country", "at", "price", "entered_at"],
        sqlite_where=PAID,
        postgresql_where=PAID,
    )
    for column in COUNTED:
        name = op.f(f"ix_sends_{column}_at")
        op.drop_index(name, "sends")
        op.create_index(name, "sends", [column, "at"], sqlite_where=ADMITTED, postgresql_where=ADMITTED)


def downgrade() -> None:
    for column in COUNTED:
        name = op.f(f"ix_sends_{column}_at")
        op.drop_index(name, "sends")
        op.create_index(name, "sends", [column, "at"])
    op.drop_index(op.f("ix_sends_country_at_price_entered_at"), "sends")
    op.drop_index("ix_sends_at_price_paid", "sends")
