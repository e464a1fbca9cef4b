"""Accounts, challenges, the ledger, the outbox, applied updates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

MOMENT = sa.DateTime(timezone=True)
CONFIRMED = sa.text("status = 'confirmed'")
ASKED = sa.text("state IN ('open', 'dead')")


def upgrade() -> None:
    op.create_table(
        "accounts",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("telegram_id", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("email", sa.Text),
        sa.Column("email_verified", sa.Boolean, nullable=False),
        sa.Column("phone", sa.Text),
        sa.Column("phone_proof", sa.Text),
        sa.Column("phone_proven_at", MOMENT),
        sa.Column("terms_version", sa.Text),
        sa.Column("terms_accepted_at", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.Column("reminded_at", MOMENT),
        sa.Column("confirmed_at", MOMENT),
        sa.Column("blocked_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_accounts")),
        sa.UniqueConstraint("telegram_id", name=op.f("uq_accounts_telegram_id")),
    )
    op.create_index(op.f("ix_accounts_email"), "accounts", ["email"])
    op.create_index(op.f("ix_accounts_phone"), "accounts", ["phone"])
    op.create_index(op.f("ix_accounts_status_expires_at"), "accounts", ["status", "expires_at"])
    op.create_index(
        "uq_accounts_email_confirmed",
        "accounts",
        ["email"],
        unique=True,
        sqlite_where=CONFIRMED,
        postgresql_where=CONFIRMED,
    )
    op.create_index(
        "uq_accounts_phone_confirmed",
        "accounts",
        ["phone"],
        unique=True,
        sqlite_where=CONFIRMED,
        postgresql_where=CONFIRMED,
    )

    op.create_table(
        "applied_updates",
        sa.Column("telegram_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("update_id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("outcome", sa.JSON),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("telegram_id", "update_id", name=op.f("pk_applied_updates")),
    )
    op.create_index(op.f("ix_applied_updates_at"), "applied_updates", ["at"])

    op.create_table(
        "challenges",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("account_id", sa.Uuid, nullable=False),
        sa.Column("number", sa.Text),
        sa.Column("number_hmac", sa.Text, nullable=False),
        sa.Column("country", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("codes", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("last_action_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_challenges")),
    )
    op.create_index(op.f("ix_challenges_account_id"), "challenges", ["account_id"])
    op.create_index(op.f("ix_challenges_number"), "challenges", ["number"])
    op.create_index(
        "uq_challenges_account_id_asked",
        "challenges",
        ["account_id"],
        unique=True,
        sqlite_where=ASKED,
        postgresql_where=ASKED,
    )

    op.create_table(
        "code_attempts",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("challenge_id", sa.Uuid, nullable=False),
        sa.Column("number_hmac", sa.Text, nullable=False),
        sa.Column("person_hmac", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_code_attempts")),
    )
    op.create_index(
        op.f("ix_code_attempts_number_hmac_person_hmac_at"), "code_attempts", ["number_hmac", "person_hmac", "at"]
    )

    op.create_table(
        "lookups",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("person_hmac", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("value_hmac", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lookups")),
    )
    op.create_index(op.f("ix_lookups_person_hmac_kind_at"), "lookups", ["person_hmac", "kind", "at"])

    op.create_table(
        "outbox",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("dedupe", sa.Text),
        sa.Column("telegram_id", sa.BigInteger),
        sa.Column("payload", sa.JSON, nullable=False),
        sa.Column("run_at", MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("lease_until", MOMENT),
        sa.Column("lease_owner", sa.Text),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("dedupe", name=op.f("uq_outbox_dedupe")),
    )
    op.create_index(op.f("ix_outbox_status_run_at"), "outbox", ["status", "run_at"])
    op.create_index(op.f("ix_outbox_telegram_id"), "outbox", ["telegram_id"])

    op.create_table(
        "sends",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("challenge_id", sa.Uuid),
        sa.Column("code_n", sa.Integer),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("number_hmac", sa.Text, nullable=False),
        sa.Column("prefix_hmac", sa.Text, nullable=False),
        sa.Column("person_hmac", sa.Text, nullable=False),
        sa.Column("country", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("gateway", sa.Text),
        sa.Column("price", sa.Integer),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("refused_by", sa.Text),
        sa.Column("provider_id", sa.Text),
        sa.Column("repeated", sa.Boolean, nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sends")),
    )
    op.create_index(op.f("ix_sends_challenge_id"), "sends", ["challenge_id"])
    op.create_index(op.f("ix_sends_number_hmac_at"), "sends", ["number_hmac", "at"])
    op.create_index(op.f("ix_sends_person_hmac_at"), "sends", ["person_hmac", "at"])
    op.create_index(op.f("ix_sends_prefix_hmac_at"), "sends", ["prefix_hmac", "at"])

    op.create_table(
        "terms_acceptances",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("account_id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("language", sa.Text, nullable=False),
        sa.Column("sentence_hash", sa.Text, nullable=False),
        sa.Column("accepted_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_terms_acceptances")),
    )
    op.create_index(op.f("ix_terms_acceptances_account_id"), "terms_acceptances", ["account_id"])


def downgrade() -> None:
    op.drop_table("terms_acceptances")
    op.drop_table("sends")
    op.drop_table("outbox")
    op.drop_table("lookups")
    op.drop_table("code_attempts")
    op.drop_table("challenges")
    op.drop_table("applied_updates")
    op.drop_table("accounts")
