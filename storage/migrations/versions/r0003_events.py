"""Events for the CRM: whose they are, their order, a queue of their own, and the stop that the CRM asks for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

EVENT = sa.text("kind = 'event'")
NO_EVENT = sa.text("kind != 'event'")
OWNED = sa.text("account_id IS NOT NULL")


def upgrade() -> None:
    op.add_column("outbox", sa.Column("account_id", sa.Uuid))
    op.add_column("outbox", sa.Column("n", sa.Integer))
    op.drop_index(op.f("ix_outbox_status_run_at"), "outbox")
    for name, columns, condition in (
        ("ix_outbox_status_run_at", ["status", "run_at"], NO_EVENT),
        ("ix_outbox_status_run_at_n", ["status", "run_at", "n"], EVENT),
        ("ix_outbox_account_id", ["account_id"], OWNED),
    ):
        op.create_index(op.f(name), "outbox", columns, sqlite_where=condition, postgresql_where=condition)
    op.create_table(
        "event_stops",
        sa.Column("receiver", sa.Text, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("receiver", name=op.f("pk_event_stops")),
    )


def downgrade() -> None:
    op.drop_table("event_stops")
    # An older version knows nobody who delivers them.
    op.execute("DELETE FROM outbox WHERE kind = 'event'")
    for name in ("ix_outbox_account_id", "ix_outbox_status_run_at_n", "ix_outbox_status_run_at"):
        op.drop_index(op.f(name), "outbox")
    op.create_index(op.f("ix_outbox_status_run_at"), "outbox", ["status", "run_at"])
    op.drop_column("outbox", "n")
    op.drop_column("outbox", "account_id")
