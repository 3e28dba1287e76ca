"""Makes one page of a comparison that needs nothing else: words, tables, and pictures within it.

Whatever comes from a file is escaped, and the page may load nothing, run nothing and send nothing.
"""

import base64
import io
from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

from matplotlib.figure import Figure

from actscope import listing, render
from actscope.comparing.pairing import tensors_of
from actscope.comparing.result import Comparison, LayerDifference
from actscope.errors import RenderError
from actscope.replacing import replacing
from actscope.store.reader import RecordedLayer, Recording

MOST_LAYERS = 3
"""How many layers are drawn one by one: where the recordings part, and the worst others."""

_RESOLUTION = 110

_HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>actscope compare</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; font-size: 13px; display: block; overflow-x: auto }
th, td { padding: .15rem .7rem .15rem 0; text-align: right; white-space: nowrap }
th:first-child, td:first-child { text-align: left }
tr.beyond td { color: #b5432f; font-weight: 600 }
img { max-width: 100%; height: auto }
pre { white-space: pre-wrap; overflow-wrap: anywhere }
</style>
"""


def write_page(comparison: Comparison, a: Recording, b: Recording, path: Path) -> None:
    """Write the page of a comparison, whole or not at all.

    Raises:
        MissingFileError: the folder does not exist.
    """
    with replacing(path) as temporary:
        temporary.write_text("\n".join(_page(comparison, a, b)), encoding="utf-8")


def _page(comparison: Comparison, a: Recording, b: Recording) -> Iterator[str]:
    yield _HEAD
    yield f"<h1>{escape(comparison.a.file)} and {escape(comparison.b.file)}</h1>"
    yield f"<p><strong>{escape(listing.verdict(comparison))}</strong></p>"
    yield f"<pre>{escape(listing.comparison_origins(comparison))}</pre>"
    if comparison.similarity is not None:
        drawn = render.similarity(comparison.similarity)
        yield _picture(drawn, "similarity of each pair of layers")
    if comparison.layers:
        yield _picture(render.differences(comparison), "difference through depth")
        yield "\n".join(_table(comparison.layers))
        for layer in _shown(comparison):
            yield from _layer(layer, a, b)
    yield "</html>\n"


def _table(layers: Iterable[LayerDifference]) -> Iterator[str]:
    yield "<table>"
    yield _row(listing.DIFFERENCE_TITLES, "th", "")
    for layer in layers:
        yield _row(listing.difference_cells(layer), "td", "" if layer.within else "beyond")
    yield "</table>"


def _row(cells: Iterable[str], tag: str, kind: str) -> str:
    return f'<tr class="{kind}">' + "".join(f"<{tag}>{escape(cell)}" for cell in cells) + "</tr>"


def _shown(comparison: Comparison) -> Sequence[LayerDifference]:
    """The layer where the recordings part, then those that are worst, but none that are equal."""
    worst = sorted(
        (layer for layer in comparison.layers if layer.worst is not None),
        key=lambda layer: (layer.name != comparison.first_diverging, -layer.strain),
    )
    return worst[:MOST_LAYERS]


def _layer(difference: LayerDifference, a: Recording, b: Recording) -> Iterator[str]:
    first, second = (_named(recording, difference.name) for recording in (a, b))
    yield f"<h2>{escape(difference.name)}</h2>"
    if difference.worst is not None:
        words = listing.worst_words(difference.worst)
        yield f"<p>{escape(words)}</p>"
        yield _picture(render.worst(first, second, difference.worst), words)
    try:
        yield _picture(render.scatter(first, second, name=difference.name), "values against values")
    except RenderError as error:  # nothing finite to draw
        yield f"<p>{escape(str(error))}</p>"


def _named(recording: Recording, name: str) -> RecordedLayer:
    return next(found.layer for found in tensors_of(recording).values() if found.name == name)


def _picture(figure: Figure, words: str) -> str:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=_RESOLUTION)
    data = base64.b64encode(drawn.getvalue()).decode("ascii")
    return f'<p><img alt="{escape(words)}" src="data:image/png;base64,{data}"></p>'
