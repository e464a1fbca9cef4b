"""Partners, campaigns, touches, clicks, promo codes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

HOUSE = sa.text("partner_id IS NULL AND inviter IS NULL")
HELD = sa.text("used_at IS NULL")


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "partners",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("telegram_id", sa.BigInteger),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_partners")),
        sa.UniqueConstraint("name", name=op.f("uq_partners_name")),
        sa.UniqueConstraint("telegram_id", name=op.f("uq_partners_telegram_id")),
    )
    op.create_table(
        "campaigns",
        sa.Column("id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("partner_id", sa.Uuid),
        sa.Column("inviter", sa.BigInteger),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_campaigns")),
        sa.UniqueConstraint("inviter", name=op.f("uq_campaigns_inviter")),
        sa.UniqueConstraint("partner_id", "name", name=op.f("uq_campaigns_partner_id_name")),
    )
    op.create_index(
        op.f("uq_campaigns_name_house"), "campaigns", ["name"], unique=True, sqlite_where=HOUSE, postgresql_where=HOUSE
    )
    op.create_table(
        "touches",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), nullable=False),
        sa.Column("person", sa.LargeBinary, nullable=False),
        sa.Column("campaign_id", sa.BigInteger, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("day", sa.Integer, nullable=False),
        sa.Column("stage", sa.SmallInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_touches")),
    )
    op.create_index(op.f("ix_touches_person"), "touches", ["person"])
    op.create_index(op.f("ix_touches_campaign_id_day_stage"), "touches", ["campaign_id", "day", "stage"])
    op.create_table(
        "former_people",
        sa.Column("mark", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("mark", name=op.f("pk_former_people")),
    )
    _create_clicks()
    _create_promo_codes(moment)
    op.add_column("accounts", sa.Column("touch_id", sa.BigInteger))
    op.add_column("accounts", sa.Column("promo", sa.Text))


def _create_clicks() -> None:
    op.create_table(
        "click_days",
        sa.Column("campaign_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("day", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("clicks", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "day", name=op.f("pk_click_days")),
    )
    op.create_table(
        "click_visitors",
        sa.Column("campaign_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("day", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("visitor", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "day", "visitor", name=op.f("pk_click_visitors")),
    )
    op.create_index(op.f("ix_click_visitors_day"), "click_visitors", ["day"])


def _create_promo_codes(moment: sa.DateTime) -> None:
    op.create_table(
        "promo_codes",
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("valid_from", moment),
        sa.Column("valid_until", moment),
        sa.Column("max_uses", sa.Integer),
        sa.Column("per_person", sa.Integer, nullable=False),
        sa.Column("used", sa.Integer, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.PrimaryKeyConstraint("code", name=op.f("pk_promo_codes")),
    )
    op.create_table(
        "promo_uses",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("person", sa.LargeBinary, nullable=False),
        sa.Column("number", sa.LargeBinary),
        sa.Column("held_until", moment, nullable=False),
        sa.Column("used_at", moment),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promo_uses")),
    )
    op.create_index(op.f("ix_promo_uses_person_code"), "promo_uses", ["person", "code"])
    op.create_index(op.f("ix_promo_uses_number_code"), "promo_uses", ["number", "code"])
    op.create_index(
        op.f("ix_promo_uses_code_held_until"), "promo_uses", ["code", "held_until"], sqlite_where=HELD,
        postgresql_where=HELD,
    )  # fmt: skip


def downgrade() -> None:
    with op.batch_alter_table("accounts") as accounts:
        accounts.drop_column("promo")
        accounts.drop_column("touch_id")
    for table in (
        "promo_uses", "promo_codes", "click_visitors", "click_days", "former_people", "touches", "campaigns",
        "partners",
    ):  # fmt: skip
        op.drop_table(table)
