"""Pictures: codes are read by somebody else's decoder, charts are measured, and what is not drawn harms nobody."""

from __future__ import annotations

import asyncio
import io
import logging
import os
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image

from bot.pictures import DrawnPictures
from handlers.ports import Bar, Chart
from tests.practice.browser.chromium import chromium

LINK = "https://t.me/smarty_registration_bot?start=r_7k3m9x2q"
STEPS = ("Переходы", "Начали", "Почта", "Условия", "Телефон", "Подтвердили")


# Says how many of its kind are running.
COUNTING = """
import os, pathlib, time
folder = pathlib.Path(__file__).parent / "running"
folder.mkdir(exist_ok=True)
own = folder / str(os.getpid())
own.touch()
time.sleep(0.1)
print(len(list(folder.iterdir())))
own.unlink()
"""


def opened(picture: bytes | None) -> Image.Image:
    assert picture is not None
    image = Image.open(io.BytesIO(picture))
    assert image.format == "PNG"
    return image


def read(image: Image.Image) -> list[str]:
    """Return what the codes in a picture say."""
    found = zxingcpp.read_barcodes(image.convert("L"))
    assert all(code.ec_level in {"M", "Q", "H"} for code in found)
    return [code.text for code in found]


@pytest.mark.parametrize("name", ["Smarty CRM", "Ёжик & <b>партнёры</b>", "W" * 60, "ქართული Հայերեն"])
async def test_a_code_is_read_from_the_picture(name: str) -> None:
    image = opened(await DrawnPictures(name).qr_png(LINK))
    assert read(image) == [LINK]
    # As messengers make it: small, and with JPEG's noise.
    noisy = io.BytesIO()
    image.resize((320, 320 * image.height // image.width)).save(noisy, "JPEG", quality=40)
    assert read(Image.open(noisy)) == [LINK]
    # The quiet zone is four modules wide, and the name stands below all of it.
    module = image.width // 41
    grey = image.convert("L")
    assert grey.crop((0, 0, image.width, 4 * module)).getextrema() == (255, 255)
    assert grey.crop((4 * module, 4 * module, 5 * module, 5 * module)).getextrema() == (0, 0)
    below = grey.crop((0, image.width - 4 * module, image.width, image.height)).getbbox()
    assert below is not None
    assert grey.crop((0, 37 * module + 5, image.width, 39 * module)).getextrema() == (255, 255)
    assert grey.crop((40, 39 * module, image.width - 40, image.height)).getextrema()[0] == 0
    assert grey.crop((0, 39 * module, 30, image.height)).getextrema() == (255, 255)


async def test_a_code_is_read_from_the_drawing() -> None:
    """As Chromium shows the SVG."""
    async with chromium() as browser:
        page = await browser.new_page(viewport={"width": 600, "height": 700})
        for name in ("Smarty CRM", "Ёжик & <b>партнёры</b>", "W" * 60):
            drawing = DrawnPictures(name).qr_svg(LINK).decode()
            await page.set_content(f'<div style="width: 500px">{drawing}</div>')
            assert await page.locator("svg text").text_content() == name
            box = await page.locator("svg text").bounding_box()
            whole = await page.locator("svg").bounding_box()
            assert box is not None
            assert whole is not None
            assert whole["x"] <= box["x"]
            assert box["x"] + box["width"] <= whole["x"] + whole["width"]
            assert box["y"] + box["height"] <= whole["y"] + whole["height"]
            assert read(Image.open(io.BytesIO(await page.screenshot()))) == [LINK]


def colours(image: Image.Image) -> dict[tuple[int, ...], int]:
    found = image.convert("RGB").getcolors(1 << 20)
    assert found is not None
    return {colour: n for n, colour in found if isinstance(colour, tuple)}


async def test_the_chart_is_a_card_with_a_bar_for_each_step() -> None:
    bars = tuple(Bar(step, number, "50 %") for step, number in zip(STEPS, (800, 400, 200, 100, 50, 0), strict=True))
    image = opened(await DrawnPictures("CRM").chart_png(Chart("Весенняя акция", "30 дней", bars)))
    assert image.width == 1080
    assert 1000 < image.height < 1400
    # A ground of its own, without which dark letters would stand on a dark chat.
    assert image.mode == "RGB"
    found = colours(image)
    blue, grey, green = (31, 111, 209), (138, 150, 165), (23, 138, 85)
    # Lengths as numbers: a click's bar is the longest, the four blue ones are 400 + 200 + 100 + 50 of its 800.
    assert found[blue] / found[grey] == pytest.approx(750 / 800, rel=0.05)
    assert green not in found


async def test_a_chart_of_nothing_and_of_long_names_is_drawn_too() -> None:
    pictures = DrawnPictures("CRM")
    nothing = Chart("W" * 200, "", tuple(Bar(step, 0) for step in STEPS))
    much = Chart("<b>&\u202e🦔", "x" * 300, tuple(Bar("Ё" * 100, 10**12, "100 %") for _ in STEPS))
    for chart in (nothing, much, Chart("", "", ())):
        image = opened(await pictures.chart_png(chart))
        # Nothing is written over the edge of the card.
        assert len(colours(image.crop((0, 0, 28, image.height)))) == 1
        assert len(colours(image.crop((1052, 0, 1080, image.height)))) == 1


async def test_a_code_is_drawn_once_and_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, drawn = DrawnPictures("CRM"), []
    start = asyncio.create_subprocess_exec

    async def counted(*arguments: object, **options: object) -> asyncio.subprocess.Process:
        drawn.append(arguments)
        # What is secret in the environment is not the drawing's to know.
        assert options["env"] == {}
        return await start(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", counted)
    monkeypatch.setattr("bot.pictures._KEPT", 2)
    first = await pictures.qr_png(LINK)
    assert await pictures.qr_png(LINK) == first
    assert len(drawn) == 1
    for number in range(2):
        await pictures.qr_png(f"{LINK}{number}")
    assert await pictures.qr_png(LINK) == first
    assert len(drawn) == 4


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("import time; time.sleep(600)", "it took more than 0.5 s"),
        ("raise SystemExit('no font')", "no font"),
        ("import os; os.kill(os.getpid(), 9)", "-9"),
        ("pass", "the program ended with 0"),
    ],
)
async def test_what_is_not_drawn_is_one_line_in_the_log(
    program: str, says: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    maker = tmp_path / "maker.py"
    maker.write_text(
        f"import os, pathlib\npathlib.Path({str(tmp_path / 'pid')!r}).write_text(str(os.getpid()))\n{program}"
    )
    pictures = DrawnPictures("CRM", maker=maker, within=0.5 if "sleep" in program else 10)
    with caplog.at_level(logging.INFO):
        assert await pictures.qr_png(LINK) is None
    (record,) = caplog.records
    assert (record.levelname, says in record.getMessage()) == ("ERROR", True)
    # It has ended, and is nobody's zombie.
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
    # The next one is drawn: its turn was given back.
    assert await DrawnPictures("CRM").qr_png(LINK) is not None


async def test_two_are_drawn_at_once_and_the_others_wait(tmp_path: Path) -> None:
    maker = tmp_path / "maker.py"
    maker.write_text(COUNTING)
    pictures = DrawnPictures("CRM", maker=maker, within=30)
    at_once = await asyncio.gather(*(pictures.qr_png(f"{LINK}{number}") for number in range(5)))
    assert {int(n or 0) for n in at_once} <= {1, 2}
