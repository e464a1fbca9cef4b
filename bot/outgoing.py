"""Everything the bot sends on its own: the courier with who delivers each kind of row in the outbox."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from aiogram import Bot

from bot.code_delivery import CodeDelivery, FallBack
from bot.courier import Courier, Delivery
from bot.deliveries import AlertDelivery, NoticeDelivery, TelegramDelivery
from bot.help_edit import HelpEdit
from bot.pace import Pace
from bot.resting import Resting
from bot.settings import Settings
from handlers.ports import Gateway
from handlers.product import Product
from locales import Texts
from storage.accounts import Accounts
from storage.challenges import Challenges
from storage.clock import Clock
from storage.outbox import ALERT, CODE, FALL_BACK, HELP, NOTICE, Outbox
from storage.sends import Sends


def create_courier(
    settings: Settings,
    *,
    outbox: Outbox,
    sends: Sends,
    accounts: Accounts,
    challenges: Challenges,
    gateways: Sequence[Gateway],
    bot: Bot,
    texts: Texts,
    product: Product,
    clock: Clock,
    chance: random.Random,
    owner: str,
    others: Mapping[str, Delivery],
) -> Courier:
    """Return the courier with everyone who delivers for it; `owner` names this process on its leases.

    `others`: who delivers what leaves neither by Telegram nor by an SMS gateway, by the kind of row.
    """
    pace = Pace(settings.telegram_send_rate, settings.telegram_chat_rate)
    telegram = TelegramDelivery(outbox, accounts, bot, clock, chance, pace, owner)
    deliveries: dict[str, Delivery] = {
        CODE: CodeDelivery(
            outbox, sends, gateways, Resting(settings.gateway_rest), texts, clock, chance,
            product=product.name, tries=settings.outbox_tries, owner=owner,
        ),
        NOTICE: NoticeDelivery(telegram, texts, product, clock),
        ALERT: AlertDelivery(telegram, texts, product, clock, settings.support_chat_id),
        HELP: HelpEdit(telegram, accounts, challenges, texts, product, clock),
        **others,
    }  # fmt: skip
    courier = Courier(outbox, deliveries, clock, owner)
    deliveries[FALL_BACK] = FallBack(outbox, challenges, clock, courier.wake, owner)
    return courier
