"""Pictures for the chat, drawn in a process of their own that ends with the picture: see `picture_maker.py`.

Drawing takes libraries and milliseconds that a serving process must not have to spare, and whatever goes wrong there
ends nothing here: one line in the log, and the person gets the text.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

from markupsafe import Markup

from handlers.ports import Chart

log = logging.getLogger(__name__)

_MAKER = Path(__file__).with_name("picture_maker.py")
# Seconds from asking to the picture, waiting for a turn included; usually it is a fifth of one.
_WITHIN = 8.0
# Each holds a processor, and there may be two of them.
_AT_ONCE = 2
# A QR code is asked for again and again, and drawn the same each time: 8 kB each. In memory and not as Telegram's
# file_id, since the web page shows them too, and a file_id is another bot's no more.
_KEPT = 256
# ISO/IEC 18004, 9.1: the quiet zone, in modules.
_QUIET = 4


class DrawnPictures:
    """See `handlers.ports.Pictures`; `name` is the product's."""

    def __init__(self, name: str, *, maker: Path = _MAKER, within: float = _WITHIN) -> None:
        """`maker`: the program that draws; `within`: seconds a picture may take. Call it inside a running loop."""
        self._name = name
        self._maker = maker
        self._within = within
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._kept: OrderedDict[str, bytes] = OrderedDict()

    async def qr_png(self, link: str) -> bytes | None:
        """See Pictures."""
        if (kept := self._kept.get(link)) is not None:
            self._kept.move_to_end(link)
            return kept
        rows = ["".join(str(int(dark)) for dark in row) for row in _modules(link)]
        picture = await self._draw({"kind": "qr", "rows": rows, "name": self._name})
        if picture is not None:
            self._kept[link] = picture
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return picture

    def qr_svg(self, link: str) -> bytes:
        """See Pictures."""
        return _svg(_modules(link), self._name)

    async def chart_png(self, chart: Chart) -> bytes | None:
        """See Pictures."""
        return await self._draw({"kind": "chart", **asdict(chart)})

    async def _draw(self, order: Mapping[str, Any]) -> bytes | None:
        try:
            async with asyncio.timeout(self._within), self._turns:
                return await self._made(json.dumps(order).encode())
        except TimeoutError:
            reason = f"it took more than {self._within:g} s"
        except (OSError, _NotDrawn) as error:
            reason = str(error)
        log.error("a picture (%s) was not drawn, the text goes without it: %s", order["kind"], reason)
        return None

    async def _made(self, order: bytes) -> bytes:
        # Isolated: neither our folder nor the environment, which holds secrets, is the drawing's business.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", str(self._maker), env={},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            picture, complaint = await process.communicate(order)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode or not picture:
            last = complaint.decode(errors="replace").strip().rpartition("\n")[2]
            raise _NotDrawn(last or f"the program ended with {process.returncode}")
        return picture


class _NotDrawn(Exception):
    """Its text says why, for the log."""


def _modules(link: str) -> list[tuple[bool, ...]]:
    """Return the rows of a QR code with its quiet zone. Level M: a seventh of it may be dirty or worn off."""
    # Not at the top: 1.6 MB that nobody needs before the first picture.
    from segno import make

    code = make(link, error="m", micro=False)
    return [tuple(bool(module) for module in row) for row in code.matrix_iter(border=_QUIET)]


def _runs(row: tuple[bool, ...]) -> Iterator[tuple[int, int]]:
    """Yield where dark modules beside each other begin, and how many they are."""
    at = 0
    for dark, run in groupby(row):
        length = len(list(run))
        if dark:
            yield at, length
        at += length


def _svg(modules: list[tuple[bool, ...]], name: str) -> bytes:
    """Return the modules, one unit each, and the name below them, as wide as they are at most."""
    side = len(modules)
    path = "".join(f"M{x} {y}h{n}v1h-{n}z" for y, row in enumerate(modules) for x, n in _runs(row))
    room = side - 2 * _QUIET
    # Bold letters are two thirds of their size wide, give or take: what that is has to be told where it is close.
    size = min(3.0, round(room / max(1, len(name)) * 1.5, 2))
    fits = f' textLength="{room}" lengthAdjust="spacingAndGlyphs"' if size < 3 else ""
    height = side + 4
    return (
        Markup(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {height}" width="{width}mm">'
            '<rect width="{side}" height="{height}" fill="#fff"/>'
            '<path d="{path}" shape-rendering="crispEdges"/>'
            '<text x="{middle}" y="{base}" font-family="Source Sans Pro, Arial, sans-serif" font-weight="bold" '
            'font-size="{size}" text-anchor="middle"{fits}>{name}</text></svg>\n'
        )
        .format(
            side=side, height=height, width=60, path=path, middle=side / 2, base=side + 1,
            size=size, fits=Markup(fits), name=name,  # noqa: S704 - made of a number above
        )
        .encode()
    )  # fmt: skip
