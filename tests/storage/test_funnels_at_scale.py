"""A partner's answer comes from one index, of their own campaigns alone; how fast: `python -m tests.bench.funnels`."""

from __future__ import annotations

import asyncio
import re

from storage.funnels import DAYS_OF_PARTNER, OF_PARTNER
from tests.bench import funnels as bench
from tests.bench.funnels import CAMPAIGNS, Measured, partner_id, plan_of, report

TOUCHES, PARTNERS = 20_000, 40


async def filled(url: str) -> float:
    if url.startswith("sqlite"):
        return await asyncio.to_thread(bench.fill_sqlite, url.removeprefix("sqlite:///"), TOUCHES, PARTNERS)
    return await bench.fill_postgresql(url, TOUCHES, PARTNERS)


async def test_an_answer_reads_the_index_of_the_partners_own_campaigns_and_no_table(database_url: str) -> None:
    size = await filled(database_url)
    # A row of 16 bytes for the person and four small numbers, its indexes, and what PostgreSQL keeps of each row.
    assert size < (240 if database_url.startswith("postgresql") else 110)
    for statement in (OF_PARTNER[0], DAYS_OF_PARTNER[0]):
        plan = await plan_of(database_url, statement, partner=partner_id(0), since=0)
        if database_url.startswith("sqlite"):
            assert "SEARCH touches USING COVERING INDEX ix_touches_campaign_id_day_stage (campaign_id=?" in plan
            assert "TEMP B-TREE" not in plan, "nothing is sorted"
            continue
        assert "Seq Scan on touches" not in plan
        scanned = re.search(r"Index Only Scan using ix_touches_\w+ on touches .* rows=([\d.]+) loops=(\d+)", plan)
        assert scanned is not None, plan
        assert int(scanned[2]) == CAMPAIGNS
        read = float(scanned[1]) * int(scanned[2])
        assert read < 2 * TOUCHES / PARTNERS, "what others' campaigns brought is not read"
    measured = await bench.ask(Measured("one", TOUCHES, PARTNERS, size=size), database_url, 1)
    assert all(times for times in measured.answers.values())
    assert f"{TOUCHES // PARTNERS:,}" in report([measured])
