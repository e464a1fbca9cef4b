"""Draws one picture: a JSON order on stdin, a PNG on stdout. A program by itself, started by `bot/pictures.py`.

It imports nothing of ours, so that it starts in a fifth of a second and knows no settings.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import font_source_sans_pro
from PIL import Image, ImageDraw, ImageFont

# A photo is shown on a phone about 320 points wide: a third of this, so the smallest letters are 13 points high.
WIDTH = 1080
# Shapes are drawn so much larger and then made smaller: Pillow does not smooth their edges.
_FINER = 2

# The card has a ground of its own, so that it is the same picture in light and dark chats.
_GROUND = "#e8edf3"
_CARD = "#ffffff"
_INK = "#16191d"
_SOFT = "#566170"
_TRACK = "#e8edf3"
_BAR = "#1f6fd1"
_LAST = "#178a55"
_APART = "#8a96a5"


def main() -> None:
    """Draw what stdin asks for."""
    order = json.loads(sys.stdin.buffer.read())
    picture = qr(order["rows"], order["name"]) if order["kind"] == "qr" else chart(order)
    made = io.BytesIO()
    picture.save(made, "PNG")
    sys.stdout.buffer.write(made.getvalue())


def qr(rows: Sequence[str], name: str) -> Image.Image:
    """Return a code's modules (rows of 0 and 1, with the quiet zone) as large as they go, and the name below."""
    side = len(rows)
    scale = WIDTH // side
    modules = Image.new("1", (side, side), 1)
    modules.putdata([module == "0" for row in rows for module in row])
    picture = Image.new("L", (side * scale, side * scale + 110), 255)
    picture.paste(modules.resize((side * scale, side * scale), Image.Resampling.NEAREST), (0, 0))
    draw = ImageDraw.Draw(picture)
    text, font = _fitting(name, 64, side * scale - 80)
    draw.text((side * scale / 2, side * scale + 20), text, 0, font, anchor="mm")
    return picture


def chart(order: Mapping[str, Any]) -> Image.Image:
    """Return a funnel: title, period, and for each step its name, number, share and bar."""
    bars = order["bars"]
    edge, pad, row = 28, 56, 146
    left, right = edge + pad, WIDTH - edge - pad
    title = _in_two(order["title"], right - left)
    steps = edge + pad + 106 + 64 * len(title)
    height = steps + row * len(bars) + pad + edge - 30
    picture = Image.new("RGB", (WIDTH * _FINER, height * _FINER), _GROUND)
    draw = ImageDraw.Draw(picture)
    _box(draw, (edge, edge, WIDTH - edge, height - edge), 44, _CARD)
    for place, line in enumerate(title):
        _write(draw, (left, edge + pad + 30 + 64 * place), line, 56, right - left, _INK)
    _write(draw, (left, steps - 66), order["period"], 42, right - left, _SOFT, bold=False)
    most = max((bar["number"] for bar in bars), default=0)
    for place, bar in enumerate(bars):
        top = steps + row * place
        colour = _APART if not place else _LAST if place == len(bars) - 1 else _BAR
        _step(draw, (left, top, right), bar, bar["number"] / most if most else 0, colour)
    return picture.reduce(_FINER)


def _step(
    draw: ImageDraw.ImageDraw, place: tuple[int, int, int], bar: Mapping[str, Any], part: float, colour: str
) -> None:
    left, top, right = place
    middle = top + 34
    share = right
    if bar["share"]:
        # As wide as "100 %", so that the numbers stand below each other.
        _write(draw, (right, middle), bar["share"], 42, 150, _SOFT, bold=False, anchor="rm")
        share = right - 170
    _write(draw, (share, middle), _grouped(bar["number"]), 52, 300, _INK, anchor="rm")
    _write(draw, (left, middle), bar["label"], 44, right - left - 420, _INK, bold=False)
    _box(draw, (left, top + 74, right, top + 102), 14, _TRACK)
    if part:
        # Never less than a dot: somebody did come so far.
        _box(draw, (left, top + 74, left + max(28, round((right - left) * part)), top + 102), 14, colour)


def _box(draw: ImageDraw.ImageDraw, corners: tuple[int, int, int, int], radius: int, colour: str) -> None:
    left, top, right, bottom = (corner * _FINER for corner in corners)
    # Pillow counts the last point in.
    draw.rounded_rectangle((left, top, right - 1, bottom - 1), radius * _FINER, colour)


def _write(
    draw: ImageDraw.ImageDraw, at: tuple[int, int], text: str, size: int, room: int, colour: str, *,
    bold: bool = True, anchor: str = "lm",
) -> None:  # fmt: skip
    text, font = _fitting(text, size * _FINER, room * _FINER, bold=bold)
    draw.text((at[0] * _FINER, at[1] * _FINER), text, colour, font, anchor=anchor)


def _in_two(text: str, room: int) -> list[str]:
    """Return the text, in two lines when it is long and has words."""
    spaces = [at for at, character in enumerate(text) if character == " "]
    if not spaces or _font(48, True).getlength(text) <= room:
        return [text]
    middle = min(spaces, key=lambda at: abs(at - len(text) / 2))
    return [text[:middle], text[middle + 1 :]]


def _fitting(text: str, size: int, room: float, *, bold: bool = True) -> tuple[str, ImageFont.FreeTypeFont]:
    """Return the text in a type that fits: smaller by a third at most, then cut short."""
    smallest = size * 2 // 3
    while size > smallest and _font(size, bold).getlength(text) > room:
        size -= 2
    font, kept = _font(size, bold), text
    while kept and font.getlength(text) > room:
        kept = kept[:-1]
        text = kept.rstrip() + "\u2026"
    return text, font


@cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
    files = font_source_sans_pro.font_files_ttf
    return ImageFont.truetype(files["SourceSansProBold" if bold else "SourceSansPro"], size)


def _grouped(number: int) -> str:
    """Return 12 345 with a thin space that does not break, as every language here reads it."""
    return f"{number:,}".replace(",", "\u202f")


if __name__ == "__main__":
    main()
