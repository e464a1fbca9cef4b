"""The runs as tables: what became of honest people, what was spent, what each attacker got and what stopped them."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from tests.simulation.attackers import SENT
from tests.simulation.books import HONEST
from tests.simulation.people import BY_CODE_TYPED, BY_CONTACT
from tests.simulation.plan import ACCOUNT_PRICE, PUMPER_SHARE
from tests.simulation.running import Campaign, Result

_WIDEST = 46


def render(results: Sequence[Result]) -> str:
    """Return everything that is printed; the first run is the one whose attackers are told of one by one."""
    plan = results[0].plan
    parts = [
        f"{plan.people:,} people in {plan.hours:g} hours, {plan.attack:g} attempts of attackers for each, "
        f"{plan.lost:.0%} of all SMS lost,\none gateway failing for a third of the time, "
        f"a budget of {_money(plan.budget)}; seed {plan.seed}. Money in roubles.",
        _table(["", *(result.plan.title for result in results)], _lines(results)),
        _groups(results),
        *(_attackers(result) for result in results if result.campaigns),
        f"A pumper gets {PUMPER_SHARE:.0%} of what its SMS cost; a Telegram account costs {_money(ACCOUNT_PRICE)}. "
        "Both are assumptions.",
    ]
    return "\n\n".join(parts)


def in_a_line(result: Result) -> str:
    """Return what is told of a run as soon as it ends."""
    spent = (honest_spent(result) + attackers_spent(result)) / result.plan.budget
    return (
        f"{result.plan.title}: over after {result.seconds:.0f} s, {completion(result):.1%} registered, "
        f"{sms_each(result):.2f} SMS each, {spent:.0%} of the budget spent, {len(result.faults)} faults"
    )


def completion(result: Result) -> float:
    """Return the share of honest people who registered."""
    return sum(story.registered for story in result.stories) / len(result.stories)


def honest_spent(result: Result) -> int:
    """Return what honest people's SMS cost, in hundredths."""
    return result.books.cost[HONEST]


def attackers_spent(result: Result) -> int:
    """Return what the attackers' SMS cost the operator, in hundredths."""
    return sum(campaign.cost for campaign in result.campaigns)


def _lines(results: Sequence[Result]) -> list[list[str]]:
    rows: list[tuple[str, Callable[[Result], str]]] = [
        ("honest people registered", lambda r: f"{completion(r):.2%}"),
        ("  by a code", lambda r: f"{share(r, BY_CODE_TYPED):.2%}"),
        ("  by the own contact alone", lambda r: f"{share(r, BY_CONTACT):.2%}"),
        ("SMS per honest person who registered", lambda r: f"{sms_each(r):.2f}"),
        ("  per one who registered by a code", lambda r: f"{_per_code(r):.2f}"),
        ("roubles per honest person who registered", lambda r: f"{_per_registration(r, honest_spent(r)) / 100:.2f}"),
        ("minutes to register, median / p95", _minutes),
        ("codes entered after a newer one was sent", lambda r: f"{r.books.late_codes:,}"),
        ("spent on honest people", lambda r: _money(honest_spent(r))),
        ("spent on attackers", lambda r: _money(attackers_spent(r))),
        ("spent of the budget", lambda r: f"{(honest_spent(r) + attackers_spent(r)) / r.plan.budget:.0%}"),
        ("the budget was gone after, hours", _gone),
        ("SMS to attackers", lambda r: f"{sum(c.sms for c in r.campaigns):,}"),
        ("attempts a second on this machine", _rate),
        ("promises broken, errors logged", lambda r: f"{len(r.faults)}"),
    ]
    return [[name, *(say(result) for result in results)] for name, say in rows]


def share(result: Result, ending: str) -> float:
    """Return the share of honest people whose story ended so."""
    return sum(story.ending == ending for story in result.stories) / len(result.stories)


def sms_each(result: Result) -> float:
    """Return how many SMS went to honest people for each of them who registered."""
    return _per_registration(result, result.books.sms[HONEST])


def _per_code(result: Result) -> float:
    return result.books.sms[HONEST] / max(1, sum(story.ending == BY_CODE_TYPED for story in result.stories))


def _per_registration(result: Result, what: float) -> float:
    return what / max(1, sum(story.registered for story in result.stories))


def _minutes(result: Result) -> str:
    took = [story.ended_at - story.nature.comes_at for story in result.stories if story.registered]
    if len(took) < 2:
        return "-"
    return f"{statistics.median(took) / 60:.1f} / {statistics.quantiles(took, n=20)[-1] / 60:.1f}"


def _gone(result: Result) -> str:
    at = result.books.budget_gone_at
    return "never" if at is None else f"{at / 3600:.1f}"


def _rate(result: Result) -> str:
    attempts = sum(campaign.attempts for campaign in result.campaigns) + len(result.stories)
    return f"{attempts / result.seconds:,.0f}"


def _groups(results: Sequence[Result]) -> str:
    """Tell who among the honest was hurt, and what made them give up."""
    names = sorted({story.nature.group for story in results[0].stories})
    rows = []
    for name in names:
        row = [name]
        for result in results:
            theirs = [story for story in result.stories if story.nature.group == name]
            row.append(f"{sum(story.registered for story in theirs) / len(theirs):.1%} of {len(theirs):,}")
        rows.append(row)
    ends = [Counter(story.ending for story in result.stories if not story.registered) for result in results]
    for reason in sorted(set().union(*ends)):
        rows.append([f"  gave up: {reason}", *(f"{found[reason]:,}" for found in ends)])
    return _table(["honest people who registered, by where", *(result.plan.title for result in results)], rows)


def _attackers(result: Result) -> str:
    head = [f"attackers, {result.plan.title}", "attempts", "accounts", "numbers", "SMS", "cost us", "paid", "earned",
            "what came of it"]  # fmt: skip
    return _table(head, [_campaign(campaign) for campaign in result.campaigns])


def _campaign(campaign: Campaign) -> list[str]:
    stopped = [(count, name) for name, count in campaign.outcomes.items() if name != SENT]
    most = ", ".join(f"{name} {count / campaign.attempts:.0%}" for count, name in sorted(stopped, reverse=True)[:3])
    counts = (campaign.attempts, campaign.accounts, campaign.numbers, campaign.sms)
    money = (campaign.cost, campaign.paid, campaign.earned)
    return [campaign.name, *(f"{count:,}" for count in counts), *(_money(sum_) for sum_ in money), most]


def _money(hundredths: float) -> str:
    return f"{hundredths / 100:,.0f}"


def _table(head: list[str], rows: Iterable[list[str]]) -> str:
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    widths[-1] = 0 if max(len(line[-1]) for line in lines) > _WIDEST else widths[-1]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, len(head) - 1) and width != widths[1] else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
