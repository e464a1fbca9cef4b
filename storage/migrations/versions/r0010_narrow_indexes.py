"""Indexes hold only what is looked for in them: each row that one leaves out is a page less to write.

Codes that were not entered have one of their own: of a country mostly they alone are summed up.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

COSTS = ["country", "at", "price"]
PAID = sa.text("price > 0")
UNENTERED = sa.text("price > 0 AND entered_at IS NULL")
NAMED = sa.text("provider_id IS NOT NULL")
WRONG = sa.text("outcome = 'wrong'")
BY_VENDOR = ("ix_sends_gateway_provider_id", "sends", ["gateway", "provider_id"])
GUESSED = ("ix_code_attempts_number_hmac_person_hmac_at", "code_attempts", ["number_hmac", "person_hmac", "at"])


def upgrade() -> None:
    op.create_index(op.f("ix_sends_country_at_price"), "sends", COSTS, sqlite_where=PAID, postgresql_where=PAID)
    op.create_index(
        "ix_sends_country_at_price_unentered", "sends", COSTS, sqlite_where=UNENTERED, postgresql_where=UNENTERED
    )
    op.drop_index(op.f("ix_sends_country_at_price_entered_at"), "sends")
    for (name, table, columns), which in ((BY_VENDOR, NAMED), (GUESSED, WRONG)):
        op.drop_index(op.f(name), table)
        op.create_index(op.f(name), table, columns, sqlite_where=which, postgresql_where=which)


def downgrade() -> None:
    for name, table, columns in (BY_VENDOR, GUESSED):
        op.drop_index(op.f(name), table)
        op.create_index(op.f(name), table, columns)
    op.create_index(
        op.f("ix_sends_country_at_price_entered_at"),
        "sends",
        [*COSTS, "entered_at"],
        sqlite_where=PAID,
        postgresql_where=PAID,
    )
    op.drop_index("ix_sends_country_at_price_unentered", "sends")
    op.drop_index(op.f("ix_sends_country_at_price"), "sends")
