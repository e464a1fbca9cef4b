"""The page for every screen and every pair of eyes: widths, themes, names of controls, contrast, one's own machine."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from bot.practice.page import FOLDER
from tests.practice.browser.conftest import Visits

# What a screen reader would say for every control on the screen: empty ones are a fault.
NAMELESS = """() => [...document.querySelectorAll("button, a, input, select, textarea, [role=button], [tabindex='0']")]
  .filter((node) => node.checkVisibility())
  .filter((node) => {
    const label = node.labels?.length ? [...node.labels].map((one) => one.textContent).join("") : "";
    const by = node.getAttribute("aria-labelledby");
    const words = node.ariaLabel || label || (by && document.getElementById(by)?.textContent) || node.textContent
      || node.querySelector("img")?.alt;
    return !words?.trim();
  }).map((node) => node.outerHTML.slice(0, 120))"""

# WCAG 2.2, 1.4.3: 4.5 to 1 for text, 3 to 1 for large text, against the nearest opaque background behind it.
PALE = """() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], under) => [r, g, b].map((c, i) => c * a + under[i] * (1 - a));
  const light = (color) => color.slice(0, 3).map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (node) => {
    const layers = [];
    for (let one = node; one; one = one.parentElement) {
      const color = rgba(getComputedStyle(one).backgroundColor);
      layers.push(color);
      if (color[3] > 0.99) break;
    }
    return layers.reverse().reduce((under, color) => over(color, under), [255, 255, 255]);
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walk.nextNode(); text; text = walk.nextNode()) {
    const node = text.parentElement;
    if (!text.data.trim() || !node.checkVisibility({ opacityProperty: true })) continue;
    if (node.closest(".sr, script, .skip, option")) continue;
    const style = getComputedStyle(node);
    const back = behind(node);
    const [a, b] = [light(over(rgba(style.color), back)), light(back)].sort((x, y) => y - x);
    const size = parseFloat(style.fontSize);
    const wanted = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < wanted) found.push(`${ratio.toFixed(2)}: ${text.data.trim().slice(0, 40)} (${node.className})`);
  }
  return found;
}"""

# WCAG 2.2, 2.5.8: a target is at least 24 by 24 CSS pixels, links and commands inside a text excepted.
TINY = """() => [...document.querySelectorAll("button:not(.command), a.key, input, select, textarea")]
  .filter((node) => node.checkVisibility())
  .map((node) => [node.matches("input[type=checkbox]") ? node.parentElement : node, node])
  .filter(([box]) => box.getBoundingClientRect().width < 24 || box.getBoundingClientRect().height < 24)
  .map(([, node]) => node.outerHTML.slice(0, 120))"""

# A word of one line that became two: a method's name is to be read, and searched for, as one.
BROKEN_WORDS = """() => [...document.querySelectorAll(".method")]
  .filter((node) => node.checkVisibility() && node.getBoundingClientRect().height > 27)
  .map((node) => node.textContent)"""

SIZES = {
    "phone": (375, 720),
    "small phone": (320, 640),
    "tablet": (820, 900),
    "narrow": (1000, 700),
    "wide": (1360, 850),
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_every_part_fits_is_named_and_can_be_read(visits: Visits, size: str, scheme: str) -> None:
    width, height = SIZES[size]
    ira = await visits("ru", viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce")
    await ira.reaches_phone(f"{size.replace(' ', '-')}-{scheme}@example.org")
    await ira.says("/help")
    await expect(ira.page.locator(".call.refused").first).to_have_count(1)
    await ira.shares_contact()
    await ira.hears("registration-code-prompt")
    await expect(ira.codes.first).to_have_count(1)
    tabs = [tab for tab in await ira.page.locator(".view").all() if await tab.is_visible()]
    for part in range(max(1, len(tabs))):
        if tabs:
            await tabs[part].click()
        assert await ira.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert await ira.page.evaluate(NAMELESS) == []
        assert await ira.page.evaluate(PALE) == []
        assert await ira.page.evaluate(TINY) == []
        assert await ira.page.evaluate(BROKEN_WORDS) == []
        await expect(ira.page.get_by_text(ira.said("note"))).to_be_visible()


async def test_landmarks_and_headings(visits: Visits) -> None:
    ira = await visits("ru")
    await expect(ira.page.get_by_role("banner")).to_have_count(1)
    await expect(ira.page.get_by_role("main", name=ira.said("chat"))).to_have_count(1)
    await expect(ira.page.get_by_role("complementary")).to_have_count(2)
    await expect(ira.page.get_by_role("region")).to_have_count(1)
    await expect(ira.page.get_by_role("heading", level=1)).to_have_count(1)
    await expect(ira.log).to_have_attribute("aria-live", "polite")
    await expect(ira.page.locator("#inbox")).to_have_attribute("aria-live", "polite")
    ids = await ira.page.evaluate("[...document.querySelectorAll('[id]')].map((node) => node.id)")
    assert len(ids) == len(set(ids))


async def test_the_theme_follows_the_system_until_one_is_chosen(visits: Visits) -> None:
    ira = await visits("ru", color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = await ira.page.evaluate(ground)
    await ira.button(ira.said("light")).click()
    light = await ira.page.evaluate(ground)
    assert light != dark
    await ira.page.reload()
    await expect(ira.button(ira.said("dark"))).to_be_visible()
    assert await ira.page.evaluate(ground) == light


async def test_escape_closes_a_dialog_and_the_focus_returns(visits: Visits) -> None:
    ira = await visits("ru")
    add = ira.button(ira.said("add"))
    await add.focus()
    await ira.page.keyboard.press("Enter")
    await expect(ira.dialog).to_be_visible()
    for _ in range(8):
        await ira.page.keyboard.press("Tab")
        assert await ira.page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    await ira.page.keyboard.press("Escape")
    await expect(ira.dialog).to_have_count(0)
    await expect(add).to_be_focused()


async def test_what_a_bot_sends_is_never_run(visits: Visits) -> None:
    ira = await visits("ru")
    await ira.starts()
    await ira.says("<img src=x onerror=alert(1)><b>bold</b> javascript:alert(1)")
    await expect(ira.log.locator(".mine").last).to_contain_text("<img src=x onerror=alert(1)>")
    formatted = await ira.page.evaluate(
        """async () => {
          const { formatted } = await import("/practice/dom.js");
          const box = document.createElement("div");
          const html = '<b onclick="alert(1)">b</b><img src=x onerror=alert(1)><script>alert(1)</scr' + 'ipt>'
            + '<a href="javascript:alert(1)">j</a><a href="https://example.com/">ok</a>'
            + '<span style="color:red">s</span>';
          box.append(formatted(html, { link: () => false, command: () => {} }));
          return box.innerHTML;
        }"""
    )
    assert re.findall(r"<(\w+)", formatted) == ["b", "a"]
    assert 'alert(1)"' not in formatted
    # The browser says that it would not have run the handlers either.
    assert all("Content Security Policy" in trouble for trouble in ira.troubles)
    ira.troubles.clear()


async def test_every_word_is_there_in_both_languages(visits: Visits) -> None:
    ira = await visits("ru")
    assert await ira.page.evaluate("import('/practice/words.js').then((words) => words.unmatched())") == []


def test_the_page_is_made_of_its_own_files_alone() -> None:
    for path in sorted(FOLDER.glob("*.*")):
        if path.suffix == ".png":
            continue
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://", text), path.name
        assert not re.search(
            r"""\sstyle=|\son\w+=["']|<script(?! type="module" src="/)|innerHTML\s*=|eval\(""", text
        ), path.name
