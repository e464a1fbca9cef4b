"""Codes that were not entered have an index of their own: of a country mostly they alone are summed up."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

PAID = sa.text("price > 0")
UNENTERED = sa.text("price > 0 AND entered_at IS NULL")


def upgrade() -> None:
    op.create_index(
        op.f("ix_sends_country_at_price"),
        "sends",
        ["country", "at", "price"],
        sqlite_where=PAID,
        postgresql_where=PAID,
    )
    op.create_index(
        "ix_sends_country_at_price_unentered",
        "sends",
        ["country", "at", "price"],
        sqlite_where=UNENTERED,
        postgresql_where=UNENTERED,
    )
    op.drop_index(op.f("ix_sends_country_at_price_entered_at"), "sends")


def downgrade() -> None:
    op.create_index(
        op.f("ix_sends_country_at_price_entered_at"),
        "sends",
        ["country", "at", "price", "entered_at"],
        sqlite_where=PAID,
        postgresql_where=PAID,
    )
    op.drop_index("ix_sends_country_at_price_unentered", "sends")
    op.drop_index(op.f("ix_sends_country_at_price"), "sends")
