"""How long the report of many layers takes to be made, and to open in a browser.

Layers such as those of a ResNet, 200 of them of four samples. The page is opened by headless
Chromium through playwright, each time in a new context: until the script has shown the overview,
the load event, and the first paint with content; and how long it takes to show another layer.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import actscope
from benchmarks.measuring import Options, timed
from benchmarks.sample_recordings import write_many_layers
from benchmarks.tables import Series, Table

LAYERS = 200
SAMPLES = 4
TIMES = """() => {
  const page = performance.getEntriesByType("navigation")[0];
  const painted = performance.getEntriesByName("first-contentful-paint")[0];
  return [page.domContentLoadedEventEnd, page.loadEventEnd, painted.startTime];
}"""
NEXT_LAYER = """() => new Promise((done) => {
  const start = performance.now();
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
  requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
})"""
STAGES = {
    "opened, until the overview is there": 2.0,
    "until the load event": 2.0,
    "until the first paint with content": 2.0,
    "from a key to the next layer, two frames later": None,
}
"""What is measured in the browser, with its goal in seconds."""


def open_page(browser: Any, address: str) -> list[float]:
    """Seconds of each of the stages."""
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    page.goto(address, wait_until="load")
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
    found = [*page.evaluate(TIMES), page.evaluate(NEXT_LAYER)]
    if page.locator("main h2").inner_text() == "Overview":
        raise RuntimeError("the key did not lead to a layer")
    context.close()
    return [milliseconds / 1000 for milliseconds in found]


def in_browser(address: str, rounds: int) -> list[list[float]]:
    """The stages of each round, after one that warms up."""
    from playwright.sync_api import sync_playwright

    chromium = which("chromium") or which("chromium-browser")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        opened = [open_page(browser, address) for _ in range(rounds + 1)]
        browser.close()
    return opened[1:]


def tables(options: Options) -> Iterator[Table]:
    """One table of one column."""
    layers = options.scaled(LAYERS)
    column = f"{layers} layers, {SAMPLES} samples"
    with tempfile.TemporaryDirectory() as folder:
        recording, report = Path(folder) / "run.h5", Path(folder) / "report.html"
        write_many_layers(recording, layers, SAMPLES)
        written = timed(lambda: actscope.report(recording, report))
        opened = in_browser(report.as_uri(), options.rounds)
        size = report.stat().st_size / 1e6
    series = (
        Series("written", {column: [written]}),
        Series("size", {column: [size]}, "MB"),
        *(
            Series(stage, {column: [times[place] for times in opened]}, at_most=goal)
            for place, (stage, goal) in enumerate(STAGES.items())
        ),
    )
    yield Table("report", "The report in headless Chromium", series)
