"""Shows recordings and layers in notebooks: tables with small drawings, in any colours.

Everything that comes from a file is escaped. Text and drawings have the notebook's own colour, so
that they can be read on light and on dark ground.
"""

from collections.abc import Iterable, Sequence
from html import escape
from math import prod

import numpy as np
import numpy.typing as npt

from actscope import listing
from actscope.axes import shape_text
from actscope.store.reader import RecordedLayer, RecordedTensor, Recording

MOST_LAYERS = 200
"""How many layers a table has; the others are counted."""

_ALL_BYTES = 4_000_000
_BYTES_PER_LAYER = 200_000
_BARS = 24
_BAR_WIDTH, _HEIGHT = 4, 18
_TABLE = "border-collapse:collapse"
_CELL = "text-align:left;padding:1px 12px 1px 0;max-width:32em;overflow-wrap:break-word"


def recording_html(recording: Recording) -> str:
    """A table of the layers: class, shape, dtype, bytes, and how the first sample's values spread.

    At most about 4 MB of the file are read.
    """
    paths = list(recording)[:MOST_LAYERS]
    most = min(_BYTES_PER_LAYER, _ALL_BYTES // max(1, len(paths)))
    rows = [[*_cells(recording[path]), _spread(recording[path], most)] for path in paths]
    further = len(recording) - len(paths)
    closing = f"<p>… and {further:,} further layers</p>" if further else ""
    titles = ("layer", "class", "axes", "shape", "dtype", "size", "values of sample 0")
    heading = escape(listing.recording_summary(recording))
    return f"<p><b>{heading}</b></p>{_table(titles, rows)}{closing}"


def tensor_html(tensor: RecordedTensor) -> str:
    """One line of that table, with the layer's other outputs and gradient below."""
    others: Sequence[RecordedTensor] = [tensor]
    if isinstance(tensor, RecordedLayer) and not tensor.is_gradient:
        found = [(output, output.gradient) for output in tensor.outputs]
        others = [one for pair in found for one in pair if one is not None]
    rows = [[*_cells(one), _spread(one, _BYTES_PER_LAYER)] for one in others]
    titles = ("name", "class", "axes", "shape", "dtype", "size", "values of sample 0")
    return _table(titles, rows)


def _cells(tensor: RecordedTensor) -> list[str]:
    layer = tensor if isinstance(tensor, RecordedLayer) else None
    gradient = " gradient" if layer is not None and layer.is_gradient else ""
    cells = (
        tensor.name + gradient,
        "input" if layer is None else layer.class_name,
        ", ".join(tensor.dims),
        shape_text(tensor.shape[1:], str(len(tensor))),
        tensor.logical_dtype,
        listing.size_words(tensor),
    )
    return [escape(cell) for cell in cells]


def _table(titles: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f'<th style="{_CELL}">{escape(title)}</th>' for title in titles)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{cell}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return f'<table style="{_TABLE}"><tr>{head}</tr>{body}</table>'


def _spread(tensor: RecordedTensor, most: int) -> str:
    """A histogram of the first values of the first sample as SVG; empty where there are none."""
    if not tensor.recording.is_open or 0 in tensor.shape or not tensor.is_stored:
        return ""
    with np.errstate(over="ignore"):
        values = np.asarray(tensor[first_values(tensor.shape, tensor.dtype.itemsize, most)])
    numbers = values.astype(np.float64).ravel()
    finite = numbers[np.isfinite(numbers)]
    if finite.size == 0:
        return "no finite values"
    low, high = float(finite.min()), float(finite.max())
    if low == high:
        return escape(f"all {low:.4g}")
    counts = np.histogram(finite / 2, _BARS, (low / 2, high / 2))[0]  # a half cannot overflow
    return _bars(counts, f"{low:.4g}", f"{high:.4g}")


def first_values(shape: Sequence[int], itemsize: int, most: int) -> tuple[int | slice, ...]:
    """An index of the first sample, or of its first part in at most `most` bytes.

    Args:
        shape: of all samples, `(N, ...)`.
        itemsize: bytes of one value.
        most: bytes to read; one value is read in any case.
    """
    index: list[int | slice] = [0]
    for axis in range(1, len(shape)):
        fitting = most // (prod(shape[axis + 1 :]) * itemsize)
        if fitting:
            return (*index, slice(min(shape[axis], fitting)))
        index.append(0)
    return tuple(index)


def _bars(counts: npt.NDArray[np.integer], low: str, high: str) -> str:
    heights = np.sqrt(counts / counts.max()) * _HEIGHT  # roots, so that few values are seen too
    path = "".join(
        f"M{place * _BAR_WIDTH} {_HEIGHT}v{-height:.1f}h{_BAR_WIDTH - 1}v{height:.1f}z"
        for place, height in enumerate(heights)
        if height
    )
    width = len(counts) * _BAR_WIDTH
    words = f"histogram from {low} to {high}"
    return (
        f'<span style="white-space:nowrap">{low} <svg role="img" aria-label="{words}" '
        f'width="{width}" height="{_HEIGHT}" viewBox="0 0 {width} {_HEIGHT}" '
        f'style="vertical-align:middle"><path d="{path}" fill="currentColor" '
        f'opacity="0.65"/></svg> {high}</span>'
    )
