"""How long the report of many layers takes to be made, and to open in a browser.

    python -m benchmarks.report_page [--layers 200] [--samples 4] [--rounds 9]

Layers such as those of a ResNet, 200 of them of four samples. The page is opened by headless
Chromium through playwright, each time in a new context: until the script has shown the overview,
the load event, and the first paint with content; and how long it takes to show another layer.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import actscope
from benchmarks.sample_recordings import write_many_layers

TIMES = """() => {
  const page = performance.getEntriesByType("navigation")[0];
  const painted = performance.getEntriesByName("first-contentful-paint")[0];
  return [page.domContentLoadedEventEnd, page.loadEventEnd, painted ? painted.startTime : 0];
}"""
NEXT_LAYER = """() => new Promise((done) => {
  const start = performance.now();
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowDown", bubbles: true }));
  requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now() - start)));
})"""
STAGES = ("the overview is there", "the load event", "first paint with content", "the next layer")


def open_page(browser: Any, address: str) -> list[float]:
    """Seconds until each of the stages; the last one from a key to two frames later."""
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    page.goto(address, wait_until="load")
    page.wait_for_function("performance.getEntriesByName('first-contentful-paint').length")
    found = [*page.evaluate(TIMES), page.evaluate(NEXT_LAYER)]
    if page.locator("main h2").inner_text() == "Overview":
        raise RuntimeError("the key did not lead to a layer")
    context.close()
    return [milliseconds / 1000 for milliseconds in found]


def measure(layers: int, samples: int, rounds: int) -> tuple[dict[str, list[float]], int]:
    """Seconds of each stage by its name, and the bytes of the page."""
    from playwright.sync_api import sync_playwright

    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    with tempfile.TemporaryDirectory() as folder:
        recording, report = Path(folder) / "run.h5", Path(folder) / "report.html"
        write_many_layers(recording, layers, samples)
        found: dict[str, list[float]] = {"written": []}
        for _ in range(2):
            start = time.perf_counter()
            actscope.report(recording, report, overwrite=True)
            found["written"].append(time.perf_counter() - start)
        with sync_playwright() as started:
            browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            opened = [open_page(browser, report.as_uri()) for _ in range(rounds + 1)]
            browser.close()
        found |= {
            stage: [times[place] for times in opened[1:]] for place, stage in enumerate(STAGES)
        }
        return found, report.stat().st_size


def show(found: dict[str, list[float]], size: int) -> None:
    """Print medians and spread."""
    print(f"a page of {size / 1e6:.1f} MB")
    print(f"{'seconds':28}{'median':>8}{'from':>8}{'to':>8}")
    for stage, seconds in found.items():
        row = (median(seconds), min(seconds), max(seconds))
        print(f"{stage:28}" + "".join(f"{value:8.2f}" for value in row))


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--layers", type=int, default=200)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=9)
    words = parser.parse_args()
    show(*measure(words.layers, words.samples, words.rounds))


if __name__ == "__main__":
    main()
