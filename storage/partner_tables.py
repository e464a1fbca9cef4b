"""The tables of partners, campaigns, touches and promo codes, for both databases. Every name here is permanent.

Whoever came by a link is known by a mark, 16 bytes of the HMAC that stands for them in the ledger: see `marks`.
"""

from __future__ import annotations

import sqlalchemy as sa

from storage.column_types import UnixTime, UtcDateTime
from storage.tables import metadata

partners = sa.Table(
    "partners",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("telegram_id", sa.BigInteger, unique=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

# `id` is the random code itself, 40 bits: see `storage/referral_codes.py`. A campaign is a partner's, a person's own
# invitations (`inviter`, a Telegram id), or the house's, which staff hand out.
campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("partner_id", sa.Uuid),
    sa.Column("inviter", sa.BigInteger, unique=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("partner_id", "name"),
)
# Of the house's, by the condition in the migration: two NULLs are not equal to each other.
sa.Index("uq_campaigns_name_house", campaigns.c.name, unique=True)

# Which campaign brought somebody, and how far they came: see `Stage`. `day` is when they first came by it, where the
# operator is, as `date.toordinal` counts; `at`, since when it counts. Another campaign's touch of the same person, when
# this one is too old, is a row of its own; of the same one it is this row again.
touches = sa.Table(
    "touches",
    metadata,
    # A type that SQLite takes for the number of the row itself, so that it needs no index.
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
    sa.Column("person", sa.LargeBinary, nullable=False),
    sa.Column("campaign_id", sa.BigInteger, nullable=False),
    sa.Column("at", UnixTime, nullable=False),
    sa.Column("day", sa.Integer, nullable=False),
    sa.Column("stage", sa.SmallInteger, nullable=False),
    sa.Index(None, "person"),
    # All that a funnel reads: the table itself is not looked at.
    sa.Index(None, "campaign_id", "day", "stage"),
)

# Who was registered and is no more, and with which number: nobody earns anything by their coming back.
former_people = sa.Table(
    "former_people",
    metadata,
    sa.Column("mark", sa.LargeBinary, primary_key=True),
    sa.Column("at", UnixTime, nullable=False),
)

click_days = sa.Table(
    "click_days",
    metadata,
    sa.Column("campaign_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("clicks", sa.Integer, nullable=False),
)

# Who was counted already, for as long as they might come again that day.
click_visitors = sa.Table(
    "click_visitors",
    metadata,
    sa.Column("campaign_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("day", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("visitor", sa.LargeBinary, primary_key=True),
    sa.Index(None, "day"),
)

# `code` in capitals. `used`: by registrations that were completed.
promo_codes = sa.Table(
    "promo_codes",
    metadata,
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("valid_from", UtcDateTime),
    sa.Column("valid_until", UtcDateTime),
    sa.Column("max_uses", sa.Integer),
    sa.Column("per_person", sa.Integer, nullable=False),
    sa.Column("used", sa.Integer, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
)

# A use is held for a person until `held_until`, and taken for good by completing the registration.
promo_uses = sa.Table(
    "promo_uses",
    metadata,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("code", sa.Text, nullable=False),
    sa.Column("person", sa.LargeBinary, nullable=False),
    sa.Column("number", sa.LargeBinary),
    sa.Column("held_until", UtcDateTime, nullable=False),
    sa.Column("used_at", UtcDateTime),
    sa.Index(None, "person", "code"),
    sa.Index(None, "number", "code"),
)
# Of those that are not used yet, by the condition in the migration.
sa.Index("ix_promo_uses_code_held_until", promo_uses.c.code, promo_uses.c.held_until)
