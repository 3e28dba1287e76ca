"""Draws a map of the samples by what a layer makes of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from actscope.axes import channels_last
from actscope.errors import RenderError, nearest
from actscope.plurals import counted
from actscope.render import draw
from actscope.render.canvas import Canvas, picture_size, prepare
from actscope.render.draw import Paint
from actscope.render.labels import NAME_SIZE
from actscope.render.letters import literal
from actscope.render.principal import Components, Floats, features_of, principal_components
from actscope.render.scale import scale_for
from actscope.render.subject import Layer, Named, as_numbers
from actscope.render.surface import surface_of
from actscope.render.words import shorten, wrapped
from actscope.store.reader import RecordedLayer, RecordedTensor

_MOST_SAMPLES = 2000
_MOST_CLASSES = 20
_LARGEST_POINT = 26.0
_COMPONENTS_BEFORE = 50
_TILES = 10
_BESIDE = (1.9, 0.9)
_LABEL_LETTERS = 16
_PLAIN_COLOUR = "#2f6690"
_COLOURS = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)  # Petroff, Accessible Color Sequences for Data Visualization, arXiv 2107.02270
_MARKERS = ("o", "^")


@dataclass(frozen=True)
class Samples:
    """The samples that are mapped, as a layer sees them.

    Attributes:
        values: what to take the rows from.
        axes: the names of a sample's axes.
        name: the layer's name; empty for an array.
        class_name: the layer's class, or empty.
        rows: the positions of those that are mapped.
        labels: theirs, `(n,)`, or None.
    """

    values: Any
    axes: tuple[str, ...]
    name: str
    class_name: str
    rows: npt.NDArray[np.intp]
    labels: npt.NDArray[Any] | None


def embedding(
    layer: Layer,
    method: str = "pca",
    *,
    labels: npt.ArrayLike | None = None,
    features: str = "flatten",
    ax: Axes | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    """Draw a map on which samples are near each other that a layer sees alike.

    At most 2,000 samples are mapped, spread evenly over all; those with NaN or infinities are left
    out. Principal components come with the share of the variance that each explains. t-SNE and
    UMAP start from the 50 first of them, with a fixed seed.

    Args:
        layer: a recorded layer, or an array with the samples first and the channels last.
        method: `"pca"`, `"tsne"` (with scikit-learn) or `"umap"` (with umap-learn).
        labels: one for each sample of the layer, `(N,)`; by default the recorded ones. Up to 20
            different ones that are no fractions have a colour each, other numbers a colour scale.
        features: `"flatten"` compares all values, `"mean"` each channel's mean over its positions.
        ax: empty axes of `plt.subplots`, whose place the picture takes.
        figure: an empty figure or subfigure to draw on; by default a new one.

    Returns:
        The figure; where a subfigure was given, the one it is part of.

    Raises:
        RenderError: there is no such method, or it is not installed; the labels are not as many as
            the samples; or these are under 3, or all equal.
    """
    surface = surface_of(ax, figure)
    if method not in _METHODS:
        raise RenderError(f"no method {method!r}: {nearest(str(method), _METHODS)}")
    samples = _take(layer, labels)
    pieces = features_of(samples.values, samples.rows, samples.axes, features)
    found = principal_components(pieces, len(samples.rows), _COMPONENTS_BEFORE)
    name, place = _METHODS[method]
    points = place(found)
    canvas = prepare(picture_size(1.0, _TILES, surface), surface, _BESIDE)
    axes = canvas.axes()
    axes.set_box_aspect(1)
    known = None if samples.labels is None else samples.labels[found.kept]
    _draw_points(axes, canvas, points, known)
    shares = [f", {100 * share:.1f} %" if method == "pca" else "" for share in found.shares]
    draw.plain_axes(axes, f"{name} 1{shares[0]}", f"{name} 2{shares[1]}")
    if method != "pca":
        axes.set(xticks=[], yticks=[])
    _draw_heading(axes, canvas, samples, len(found.kept), features)
    return canvas.whole


def _take(layer: Layer, labels: npt.ArrayLike | None) -> Samples:
    values: Any
    if isinstance(layer, RecordedTensor):
        values, axes, name = layer.unmapped(), layer.dims[1:], layer.name
        known = layer.recording.labels if labels is None else np.asarray(labels)
    else:
        named = layer if isinstance(layer, Named) else Named(np.asarray(layer), "")
        values, name = as_numbers(named.values, named.name), named.name
        axes = channels_last(max(0, values.ndim - 1))
        known = None if labels is None else np.asarray(labels)
    if not values.shape:
        raise RenderError("a single number was given: give an array with the samples along axis 0")
    count = len(values)
    if known is not None and known.shape != (count,):
        raise RenderError(f"labels of shape {known.shape} for {count} samples: give one for each")
    rows = np.linspace(0, max(0, count - 1), min(count, _MOST_SAMPLES)).round().astype(np.intp)
    class_name = layer.class_name if isinstance(layer, RecordedLayer) else ""
    return Samples(values, axes, name, class_name, rows, None if known is None else known[rows])


def _first_two(found: Components) -> Floats:
    return found.scores[:, :2]


def _tsne(found: Components) -> Floats:
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise RenderError("t-SNE needs scikit-learn: pip install scikit-learn") from error
    perplexity = min(30.0, (len(found.scores) - 1) / 3)
    mapped = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(found.scores)
    return np.asarray(mapped, np.float64)


def _umap(found: Components) -> Floats:
    try:
        from umap import UMAP
    except ImportError as error:
        raise RenderError("UMAP needs umap-learn: pip install umap-learn") from error
    if len(found.scores) < 5:
        raise RenderError(f"UMAP needs at least 5 samples, there are {len(found.scores)}")
    neighbours = min(15, len(found.scores) - 1)
    mapped = UMAP(n_neighbors=neighbours, random_state=0, n_jobs=1).fit_transform(found.scores)
    return np.asarray(mapped, np.float64)


_METHODS: dict[str, tuple[str, Callable[[Components], Floats]]] = {
    "pca": ("principal component", _first_two),
    "tsne": ("t-SNE", _tsne),
    "umap": ("UMAP", _umap),
}


def _draw_points(
    axes: Axes, canvas: Canvas, points: Floats, labels: npt.NDArray[Any] | None
) -> None:
    size = float(np.clip(6000 / len(points), 7, _LARGEST_POINT))
    style: dict[str, Any] = {"s": size, "linewidths": 0.2, "edgecolors": "white", "alpha": 0.9}
    if labels is None:
        axes.scatter(*points.T, color=_PLAIN_COLOUR, **style)
        return
    classes = classes_of(labels)
    if classes is not None:
        for number, label in enumerate(classes):
            axes.scatter(
                *points[labels == label].T,
                color=_COLOURS[number % len(_COLOURS)],
                marker=_MARKERS[number // len(_COLOURS)],
                **style,
            )
        _draw_legend(axes, [str(label) for label in classes], (_LARGEST_POINT / size) ** 0.5)
    elif labels.dtype.kind in "biuf":
        numbers = labels.astype(np.float64)
        scale = scale_for(numbers, "shared")
        paint = Paint(scale, draw.colour_map("viridis"))
        axes.scatter(*points.T, color=paint.colours(paint.norm(numbers)), **style)
        draw.draw_colour_bar(axes, canvas, paint, "label")
    else:
        axes.scatter(*points.T, color=_PLAIN_COLOUR, **style)


def classes_of(labels: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """The different labels where there are at most 20 and they are no fractions, else None."""
    if labels.dtype.kind == "f":
        return None
    classes = np.unique(labels)
    return classes if len(classes) <= _MOST_CLASSES else None


def _draw_legend(axes: Axes, names: list[str], enlarged: float) -> None:
    legend = axes.legend(
        axes.collections,
        [""] * len(names),
        fontsize=NAME_SIZE,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1, 1),
        handletextpad=0.2,
        markerscale=enlarged,
        labelspacing=0.4,
        title="label",
        title_fontsize=NAME_SIZE,
    )
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(shorten(name, _LABEL_LETTERS))
        literal(text)


def _draw_heading(axes: Axes, canvas: Canvas, samples: Samples, mapped: int, features: str) -> None:
    letters = canvas.detail_letters
    words = counted(mapped, "sample")
    total = len(samples.values)
    if len(samples.rows) < total:
        words += f" spread over {total:,}"
    lost = len(samples.rows) - mapped
    parts = [
        samples.class_name,
        words,
        "means over positions" if features == "mean" else "",
        f"{counted(lost, 'sample')} with NaN or infinities left out" if lost else "",
    ]
    lines = wrapped([shorten(part, letters) for part in parts if part], letters)
    heading = shorten(samples.name or "samples", canvas.title_letters)
    draw.draw_words(axes, canvas, heading, lines)
