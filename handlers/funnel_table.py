"""Funnels as a table for spreadsheets: one row per day and campaign, no personal data."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

from storage.funnels import DayOfCampaign, Funnel

FILE_NAME = "campaigns.csv"
_FUNNEL = tuple(Funnel.__dataclass_fields__)
# A cell that begins so is run as a formula (OWASP, "CSV Injection"), with full-width signs, which some read alike, too.
# A cell begins after whatever the reader takes for a separator or a quote: in half of the world that is a semicolon.
_BEGINS_A_FORMULA = re.compile("(^|[;,\t\r\n|'\"])(?=[ \u00a0]*[=+@\t\r\n\uff1d\uff0b\uff0d\uff20-])")


def as_csv(days: Iterable[DayOfCampaign]) -> bytes:
    """Return the table in UTF-8 with the mark by which Excel knows that it is; the columns are named in English."""
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(("date", "campaign", "code", *_FUNNEL))
    for one in days:
        numbers = (getattr(one.funnel, name) for name in _FUNNEL)
        table.writerow((one.day.isoformat(), harmless(one.campaign.name), f"r_{one.campaign.code}", *numbers))
    return text.getvalue().encode("utf-8-sig")


def harmless(cell: str) -> str:
    """Return a text that no spreadsheet runs."""
    return _BEGINS_A_FORMULA.sub(r"\1'", cell)
