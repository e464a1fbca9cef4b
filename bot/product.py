"""What the settings mean to the conversation."""

from __future__ import annotations

from bot.practice.guard import address_of
from bot.settings import Settings
from handlers.product import Product, TermsStyle


def product_of(settings: Settings, bot_username: str) -> Product:
    """Return the product as handlers know it."""
    return Product(
        name=settings.product_name,
        bot_username=bot_username,
        start_url=settings.start_url,
        terms_url=settings.terms_url,
        terms_version=settings.terms_version,
        terms_style=TermsStyle(settings.terms_style),
        restore_password_url=settings.restore_password_url,
        support_url=settings.support_url,
        help_url=settings.help_url,
        video_url=settings.video_url,
        privacy_url=settings.privacy_url,
        phone_reason=settings.phone_reason,
        countries=settings.countries,
        number_types=frozenset(settings.number_types),
        contact_needs_code=settings.code_for_own_contact == "always",
        reveal_existing=settings.existing_account_notice == "immediately",
        time_zone=settings.time_zone,
        code_length=settings.code_length,
        unconfirmed_lifetime=settings.unconfirmed_lifetime,
        check_mail_domains=settings.email_mx_check,
        staff_ids=frozenset(settings.staff_ids),
        support_chat_id=settings.support_chat_id,
        invites_by_mail=settings.smtp_host is not None,
        invite_lifetime=settings.invite_lifetime,
        web_url=_web_url(settings),
    )


def _web_url(settings: Settings) -> str | None:
    """Return where browsers reach the bot's own pages: while it practises, beside the page of that."""
    if settings.bot_token is None and settings.base_url() is None and settings.http_port:
        return f"http://{address_of(settings.http_host, settings.http_port)}"
    return settings.base_url()
