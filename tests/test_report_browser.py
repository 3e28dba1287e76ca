"""A report in a real browser: what it shows, what its keys do, and that nothing in it runs."""

import shutil
import time

import pytest

import actscope
from reportable import BREAKOUT, SCRIPT, arrays, record

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

PATHS = list(arrays())
TREE_ORDER = ["Overview", *PATHS]


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        # Containers mostly have no user namespaces for Chromium's sandbox.
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    return actscope.report(record(folder / "run.h5"), folder / "report.html").as_uri()


@pytest.fixture
def visit(browser, address):
    """Opens the page; at the end nothing may have been said on the console, asked or fetched."""
    complaints, contexts = [], []

    def open_page(part="", **options):
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: complaints.append(f"a dialog: {dialog.message}"))
        page.on(
            "request",
            lambda request: complaints.extend(
                [] if request.url.startswith(("data:", address)) else [request.url]
            ),
        )
        page.goto(address + part)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def title(page):
    return page.inner_text("main h2")


def source(page):
    return page.get_attribute(".frame img", "src")


def test_the_overview_names_what_is_wrong(visit):
    page = visit()
    assert title(page) == "Overview"
    assert page.title() == "run.h5 · actscope report"
    concerns = page.locator(".concerns li").all_inner_texts()
    assert [text.split(": ")[0].strip() for text in concerns] == [
        "backbone/stem/conv",
        "backbone/stem/conv",
        SCRIPT,
    ]
    assert page.locator("main table tr").count() == 1 + len(PATHS)
    assert "<b>net</b>" in page.inner_text("main")
    page.click(".concerns .link >> nth=2")
    assert title(page) == SCRIPT


def test_layers_and_samples_change_the_picture(visit):
    page = visit()
    page.click("#tree button:has-text('conv')")
    assert title(page) == "backbone/stem/conv"
    first = source(page)
    assert page.evaluate("document.querySelector('.frame img').decode().then(() => true)")
    page.click(".samples button:has-text('sample 2')")
    second = source(page)
    assert "1 NaN" in page.inner_text("figcaption >> nth=0")
    page.click("#tree button:has-text('pool')")
    assert len({first, second, source(page)}) == 3
    assert page.get_attribute(".samples [aria-pressed=true]", "aria-pressed") == "true"
    assert page.inner_text(".samples [aria-pressed=true]").startswith("sample 2")


def test_the_keyboard(visit):
    page = visit()
    press = page.keyboard.press
    for path in PATHS:
        press("ArrowDown")
        assert title(page) == path
    press("ArrowDown")
    assert title(page) == PATHS[-1]
    press("o")
    assert title(page) == "Overview"
    press("ArrowDown")
    pictures = [source(page)]
    for _ in range(3):
        press("ArrowRight")
        pictures.append(source(page))
    press("ArrowRight")
    assert source(page) == pictures[3]
    press("ArrowLeft")
    assert source(page) == pictures[2]
    assert len(set(pictures)) == 4
    press("/")
    page.keyboard.type("DENSE")
    assert page.locator("#tree .label").all_inner_texts() == [
        "Overview",
        "backbone",
        "head",
        "dense",
    ]
    assert page.inner_text("#found") == "1 of 7 layers"
    press("Enter")
    assert title(page) == "backbone/head/dense"
    press("Escape")
    assert page.locator("#tree .layer").count() == len(PATHS)


def test_a_search_without_result(visit):
    page = visit()
    page.fill("#search", "no such layer")
    assert page.inner_text("#found") == "0 of 7 layers"
    page.keyboard.press("Enter")
    assert title(page) == "Overview"


def test_folders_fold(visit):
    page = visit()
    page.click("#tree button:has-text('backbone')")
    assert page.locator("#tree .label").all_inner_texts()[:3] == ["Overview", "backbone", "tokens"]
    page.click("#tree button:has-text('backbone')")
    assert page.locator("#tree button:has-text('conv')").count() == 1


def test_hostile_names_are_text(visit):
    page = visit()
    for path in (SCRIPT, BREAKOUT):
        page.fill("#search", path)
        page.keyboard.press("Enter")
        assert title(page) == path
    assert page.locator("script").count() == 2
    assert page.locator("img[onerror], main i, main b").count() == 0
    assert "photo <i>0</i>" in page.inner_text(".samples")


def test_every_picture_has_words(visit):
    page = visit("#layer=backbone%2Fstem%2Fconv&sample=1")
    assert title(page) == "backbone/stem/conv"
    assert "sample 1" in page.get_attribute(".frame img", "alt")
    assert page.locator("main img:not([alt])").count() == 0
    assert page.locator("main svg:not([aria-label])").count() == 0
    assert page.locator(".number").count() == 64


def test_pointing_at_a_channel_names_it(visit):
    page = visit("#layer=backbone%2Fstem%2Fconv")
    box = page.locator(".frame img").bounding_box()
    page.mouse.move(box["x"] + 5, box["y"] + 20)
    assert page.inner_text(".reading") == "channel 0"
    assert page.locator(".outline").count() == 1
    page.mouse.move(1, 1)
    assert page.locator(".outline").count() == 0


def test_light_and_dark(visit):
    def ground(page):
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    light, dark = visit(color_scheme="light"), visit(color_scheme="dark")
    assert ground(light) == "rgb(255, 255, 255)"
    assert ground(dark) != ground(light)
    light.click("#theme")
    dark.keyboard.press("t")
    assert ground(dark) == "rgb(255, 255, 255)"
    assert ground(light) != ground(dark)


def test_a_phone_needs_no_scrolling_sideways(visit):
    page = visit(viewport={"width": 360, "height": 740})
    assert not page.is_visible("#side")
    for path in TREE_ORDER[1:]:
        page.click("#menu")
        page.fill("#search", path)
        page.keyboard.press("Enter")
        assert title(page) == path
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_bad_address_shows_the_overview(visit):
    assert title(visit("#layer=%3Cscript%3E&sample=99")) == "Overview"
    assert title(visit("#layer=tokens&sample=-1")) == "tokens"


def test_two_hundred_layers_open_quickly(browser, tmp_path):
    conv = arrays()["backbone/stem/conv"][..., :8].copy()
    many = {f"stage_{number // 10}/layer_{number}": conv for number in range(200)}
    page = actscope.report(record(tmp_path / "many.h5", many), tmp_path / "many.html")
    opened = browser.new_page()
    start = time.perf_counter()
    opened.goto(page.as_uri())
    opened.keyboard.press("ArrowDown")
    assert title(opened) == "stage_0/layer_0"
    assert time.perf_counter() - start < 2
    opened.close()
