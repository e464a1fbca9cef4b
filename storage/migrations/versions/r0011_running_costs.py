"""What codes cost is added up while they are written: a day's codes need not be summed at each of them.

The database keeps the sums itself, so that whatever changes a price changes them. The fraction of a second is cut off
before SQLite reads the moment, which it would round.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SECONDS = 600
_OF = {
    "sqlite": f"CAST(strftime('%s', substr({{row}}at, 1, 19)) AS INTEGER) / {SECONDS}",
    "postgresql": f"floor(extract(epoch FROM {{row}}at) / {SECONDS})::integer",
}
_ADD = """INSERT INTO running_costs (slot, cost) VALUES ({slot}, {more})
    ON CONFLICT (slot) DO UPDATE SET cost = running_costs.cost + excluded.cost"""
_FILL = """INSERT INTO running_costs (slot, cost)
    SELECT {slot}, sum(price) FROM sends WHERE price > 0 GROUP BY {slot}"""
_CHANGED = "COALESCE(NEW.price, 0) - COALESCE(OLD.price, 0)"
# Event, which row is looked at, when, and what is added.
_EVENTS = {
    "added": ("INSERT", "NEW.", "NEW.price > 0", "NEW.price"),
    "changed": ("UPDATE OF price", "NEW.", "COALESCE(NEW.price, 0) <> COALESCE(OLD.price, 0)", _CHANGED),
    "deleted": ("DELETE", "OLD.", "OLD.price > 0", "-OLD.price"),
}


def upgrade() -> None:
    op.create_table(
        "running_costs",
        sa.Column("slot", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("slot", name=op.f("pk_running_costs")),
    )
    dialect = op.get_bind().dialect.name
    slot = _OF[dialect]
    for name, (event, row, when, more) in _EVENTS.items():
        add = _ADD.format(slot=slot.format(row=row), more=more)
        trigger = f"CREATE TRIGGER running_cost_{name} AFTER {event} ON sends FOR EACH ROW WHEN ({when})"
        if dialect == "sqlite":
            op.execute(f"{trigger} BEGIN {add}; END")
        else:
            body = f"$$ BEGIN {add}; RETURN NULL; END $$"
            op.execute(f"CREATE FUNCTION running_cost_{name}() RETURNS trigger LANGUAGE plpgsql AS {body}")
            op.execute(f"{trigger} EXECUTE FUNCTION running_cost_{name}()")
    # The triggers come first: from there on nobody else writes until all of this is committed.
    op.execute(_FILL.format(slot=slot.format(row="")))


def downgrade() -> None:
    dialect = op.get_bind().dialect.name
    for name in _EVENTS:
        op.execute(f"DROP TRIGGER running_cost_{name}" + (" ON sends" if dialect == "postgresql" else ""))
        if dialect == "postgresql":
            op.execute(f"DROP FUNCTION running_cost_{name}()")
    op.drop_table("running_costs")
