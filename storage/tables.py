"""The tables, once, for SQLite and PostgreSQL. Every name and stored value here is permanent."""

from __future__ import annotations

from enum import StrEnum

import sqlalchemy as sa

from storage.column_types import UtcDateTime


class ChallengeState(StrEnum):
    """What became of the proof of one number by one account. Stored names: permanent."""

    OPEN = "open"
    CONFIRMED = "confirmed"
    DEAD = "dead"
    REPLACED = "replaced"
    TAKEN = "taken"


class LookupKind(StrEnum):
    """What a person asked about. Stored names: permanent."""

    ADDRESS = "address"
    NUMBER = "number"
    PROMO = "promo"
    """A promo code that was refused."""


class AttemptOutcome(StrEnum):
    """How one compared code came out. Stored names: permanent."""

    RIGHT = "right"
    WRONG = "wrong"


class OutboxStatus(StrEnum):
    """Where one outbox row stands. Stored names: permanent."""

    NEW = "new"
    DONE = "done"
    DEAD = "dead"


ASKED = (ChallengeState.OPEN, ChallengeState.DEAD)
"""States in which the number of a challenge is still the one being asked about."""


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

accounts = sa.Table(
    "accounts",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("telegram_id", sa.BigInteger, nullable=False, unique=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("email", sa.Text),
    sa.Column("email_verified", sa.Boolean, nullable=False),
    sa.Column("phone", sa.Text),
    sa.Column("phone_proof", sa.Text),
    sa.Column("phone_proven_at", UtcDateTime),
    sa.Column("terms_version", sa.Text),
    sa.Column("terms_accepted_at", UtcDateTime),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("reminded_at", UtcDateTime),
    sa.Column("confirmed_at", UtcDateTime),
    sa.Column("blocked_at", UtcDateTime),
    # Which touch the person came by, of those in `partner_tables`, and the promo code they gave.
    sa.Column("touch_id", sa.BigInteger),
    sa.Column("promo", sa.Text),
)
# The last word in a race: whatever the code did, two confirmed accounts never share an address or a number. WHERE
# status = 'confirmed' stands in the migration alone, as every partial index's condition does: an index with a word for
# one dialect loads all of that dialect's drivers, 3 MB.
sa.Index("uq_accounts_email_confirmed", accounts.c.email, unique=True)
sa.Index("uq_accounts_phone_confirmed", accounts.c.phone, unique=True)
sa.Index(None, accounts.c.email)
sa.Index(None, accounts.c.phone)
sa.Index(None, accounts.c.status, accounts.c.expires_at)
# Who is still to be reminded, by the condition in the migration: those who were are not looked at again and again.
sa.Index("ix_accounts_status_expires_at_to_remind", accounts.c.status, accounts.c.expires_at)

# No foreign key: this history outlives the account, and holds nothing personal.
terms_acceptances = sa.Table(
    "terms_acceptances",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("account_id", sa.Uuid, nullable=False, index=True),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("sentence_hash", sa.Text, nullable=False),
    sa.Column("accepted_at", UtcDateTime, nullable=False),
)

# `number` is personal and set to NULL with the account; the HMAC stays for the ledger.
challenges = sa.Table(
    "challenges",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("account_id", sa.Uuid, nullable=False, index=True),
    sa.Column("number", sa.Text, index=True),
    sa.Column("number_hmac", sa.Text, nullable=False),
    sa.Column("country", sa.Text, nullable=False),
    sa.Column("key_id", sa.Text, nullable=False),
    sa.Column("language", sa.Text, nullable=False),
    sa.Column("codes", sa.Integer, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("last_action_at", UtcDateTime, nullable=False),
)
IS_ASKED = challenges.c.state.in_([sa.literal_column(f"'{state.value}'") for state in ASKED])
"""Whether a challenge is the one its account is asked about."""
# An account is asked about one number at a time; the condition, IS_ASKED, stands in the migration.
sa.Index("uq_challenges_account_id_asked", challenges.c.account_id, unique=True)

code_attempts = sa.Table(
    "code_attempts",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("challenge_id", sa.Uuid, nullable=False),
    sa.Column("number_hmac", sa.Text, nullable=False),
    sa.Column("person_hmac", sa.Text, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    # Of wrong codes, by the condition in the migration.
    sa.Index(None, "number_hmac", "person_hmac", "at"),
)

lookups = sa.Table(
    "lookups",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("person_hmac", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("value_hmac", sa.Text, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Index(None, "person_hmac", "kind", "at"),
)

# Who is registered elsewhere, as the CRM listed them: see `storage/known_accounts.py`. HMACs only.
known_accounts = sa.Table(
    "known_accounts",
    metadata,
    sa.Column("value_hmac", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("imported_at", UtcDateTime, nullable=False),
    sa.Index(None, "imported_at"),
)

# The ledger: rows are added, their state moves forward, none is ever deleted. HMACs only.
# A refused row has no code and may have no challenge. `price`, in minor units of the configured currency, is set aside
# before the call and corrected by the vendor's answer; `left_at`: a gateway was asked, the last time; `entered_at`:
# this very code was typed in and was right.
sends = sa.Table(
    "sends",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("challenge_id", sa.Uuid, index=True),
    sa.Column("code_n", sa.Integer),
    sa.Column("at", UtcDateTime, nullable=False),
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
    sa.Column("changed_at", UtcDateTime, nullable=False),
    sa.Column("entered_at", UtcDateTime),
    sa.Column("left_at", UtcDateTime),
    sa.Index(None, "at", "price"),
    sa.Index(None, "person_hmac", "at"),
    # Of what a vendor has a name for, of what cost something (and was not entered), and of what was not refused, by
    # the conditions in the migrations.
    sa.Index(None, "gateway", "provider_id"),
    sa.Index("ix_sends_at_price_paid", "at", "price"),
    sa.Index(None, "country", "at", "price"),
    sa.Index("ix_sends_country_at_price_unentered", "country", "at", "price"),
    sa.Index(None, "number_hmac", "at"),
    sa.Index(None, "prefix_hmac", "at"),
)

# What the codes of each ten minutes cost; `slot`: how many of those have passed since 1970. Triggers of `sends` keep it
# (in the migrations): whatever sets a price is counted, and the budget of a day is some dozen rows.
running_costs = sa.Table(
    "running_costs",
    metadata,
    sa.Column("slot", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("cost", sa.BigInteger, nullable=False),
)

# A range of numbers that is not sent to for a while: many codes were asked for and hardly any entered.
prefix_blocks = sa.Table(
    "prefix_blocks",
    metadata,
    sa.Column("prefix_hmac", sa.Text, primary_key=True),
    sa.Column("blocked_at", UtcDateTime, nullable=False),
    sa.Column("until", UtcDateTime, nullable=False),
)

# Delivery reports that came before the answer to the call they are about was written down.
early_reports = sa.Table(
    "early_reports",
    metadata,
    sa.Column("gateway", sa.Text, primary_key=True),
    sa.Column("provider_id", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("at", UtcDateTime, nullable=False, index=True),
)

outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("dedupe", sa.Text, unique=True),
    sa.Column("telegram_id", sa.BigInteger, index=True),
    sa.Column("payload", sa.JSON, nullable=False),
    sa.Column("run_at", UtcDateTime, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("lease_until", UtcDateTime),
    sa.Column("lease_owner", sa.Text),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("error", sa.Text),
    # Of an event for the CRM: whose it is, and its place among those of the same account.
    sa.Column("account_id", sa.Uuid, index=True),
    sa.Column("n", sa.Integer),
    # All but events, and events alone, by the conditions in the migration: neither waits behind the other's backlog.
    sa.Index(None, "status", "run_at"),
    sa.Index(None, "status", "run_at", "n"),
)

# A row: the CRM wants no more events (HTTP 410). None is sent until it is gone.
event_stops = sa.Table(
    "event_stops",
    metadata,
    sa.Column("receiver", sa.Text, primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
)

applied_updates = sa.Table(
    "applied_updates",
    metadata,
    sa.Column("telegram_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("update_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("outcome", sa.JSON),
    sa.Column("at", UtcDateTime, nullable=False, index=True),
)

# Somebody's account with a provider, linked to their Telegram id after their own yes. `subject` is all that identifies
# it: the e-mail there may change, and changes nothing here. No foreign key: it may be there before the account is.
identities = sa.Table(
    "identities",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("issuer", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("telegram_id", sa.BigInteger, nullable=False, index=True),
    sa.Column("email", sa.Text),
    sa.Column("email_verified", sa.Boolean, nullable=False),
    sa.Column("linked_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("issuer", "subject"),
)
