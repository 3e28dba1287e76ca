"""Draws the stored inputs that activate a channel most."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap
from matplotlib.figure import Figure, SubFigure

from actscope.errors import RenderError
from actscope.plurals import counted
from actscope.render import draw
from actscope.render.canvas import Canvas, picture_size, prepare
from actscope.render.draw import Extent, Paint
from actscope.render.heat import resized, square_of, square_tokens
from actscope.render.labels import NAME_SIZE
from actscope.render.layout import arrange
from actscope.render.letters import literal
from actscope.render.pictures import as_picture, find_input, shrunk
from actscope.render.scale import not_finite, scale_for
from actscope.render.sheets import default_colours
from actscope.render.subject import Subject, Values, find_position, take_sample
from actscope.render.surface import Surface, surface_of
from actscope.render.words import shorten, wrapped
from actscope.store.reader import RecordedLayer

_TILE_INCHES = 1.05
_GAP = 0.06
_ROOM_FOR_WORDS = 0.4
_LETTERS_PER_INCH = 17
_LARGEST_PICTURE = 512
_BESIDE = (1.2, 0.4)


@dataclass(frozen=True)
class Tile:
    """One sample that activates a channel.

    Attributes:
        picture: the sample's input, RGBA, `(height, width, 4)` from 0 to 1.
        heat: the channel over it, `(height, width)`; None where the layer has no axes along those
            of the input.
        value: the channel's maximum for the sample.
        words: the sample's id, or position, and its label where there is one.
    """

    picture: Values
    heat: Values | None
    value: float
    words: tuple[str, ...]


def top(
    layer: RecordedLayer,
    channel: int = 0,
    *,
    channels: Sequence[int] | None = None,
    alpha: float = 0.5,
    cmap: str | Colormap | None = None,
    ax: Axes | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    """Draw the stored inputs that activate a channel most, with the activation over them.

    The nine samples, or fewer, whose largest activation at any position is the largest stand side
    by side, the strongest first, with this value, their id and their label below. The activation
    is laid over the inputs where the layer has axes along theirs. Each channel has a colour scale
    of its own.

    Args:
        layer: a recorded layer, of a recording that holds the inputs.
        channel: which channel, or head; negative from the end.
        channels: draw a row for each of these instead.
        alpha: opacity of the activation, from 0 to 1.
        cmap: a colour map of matplotlib; by default inferno, or RdBu_r around zero where there are
            clearly values on both sides.
        ax: empty axes of `plt.subplots`, whose place the picture takes.
        figure: an empty figure or subfigure to draw on; by default a new one.

    Returns:
        The figure; where a subfigure was given, the one it is part of.

    Raises:
        RenderError: there is no such channel, no input was stored, or the inputs are no images.
    """
    surface = surface_of(ax, figure)
    if not 0 <= alpha <= 1:
        raise RenderError(f"alpha must be from 0 to 1, got {alpha!r}")
    _check(layer, channels)
    count = len(layer.statistics.count)
    asked = [channel] if channels is None else list(channels)
    numbers = [find_position(number, count, "channel", layer.name) for number in asked]
    rows = [tiles_of(layer, number) for number in numbers]
    height = max(tile.picture.shape[0] / tile.picture.shape[1] for row in rows for tile in row)
    cell = height + _ROOM_FOR_WORDS
    size = (max(map(len, rows)) * (1 + _GAP) - _GAP, len(rows) * (cell + _GAP) - _GAP)
    canvas = _prepared(size, surface)
    axes = canvas.bare_axes()
    axes.set(xlim=(0, size[0]), ylim=(0, size[1]))
    for place, (number, row) in enumerate(zip(numbers, rows, strict=True)):
        bottom = size[1] - cell - place * (cell + _GAP) + _ROOM_FOR_WORDS
        paint = _paint_of(row, alpha, cmap)
        for column, tile in enumerate(row):
            left = column * (1 + _GAP)
            _draw_tile(axes, tile, paint, (left, left + 1, bottom, bottom + height), canvas)
        label = f"channel {number}" if len(rows) > 1 else "activation"
        if paint is not None:
            _draw_bar(axes, paint, (size[0] + _GAP, bottom, 0.08, height), label)
        elif len(rows) > 1:
            _draw_label(axes, label, (-_GAP, bottom + height / 2))
    _draw_heading(axes, canvas, layer, numbers, max(map(len, rows)))
    return canvas.whole


def _check(layer: RecordedLayer, channels: Sequence[int] | None) -> None:
    if not isinstance(layer, RecordedLayer):
        raise RenderError("the top samples are those of a recorded layer: give recording[path]")
    if channels is not None and len(channels) == 0:
        raise RenderError("channels is empty: name at least one channel")
    if not any(tensor.ndim > 1 for tensor in layer.recording.inputs):
        raise RenderError(
            f"{layer.recording.path.name} holds no inputs to show for {layer.name!r}: extract with "
            "store_inputs=True (--store-inputs)"
        )


def tiles_of(layer: RecordedLayer, channel: int) -> list[Tile]:
    """The samples that activate a channel most, the strongest first.

    Raises:
        RenderError: no sample has a finite value there, or the inputs are no images.
    """
    found = layer.statistics
    samples = found.top_samples[:, channel]
    tiles = [
        _tile(layer, int(sample), channel, float(value))
        for sample, value in zip(samples, found.top_values[:, channel], strict=True)
        if sample >= 0
    ]
    if not tiles:
        raise RenderError(f"channel {channel} of {layer.name!r} has no finite value to rank by")
    return tiles


def _tile(layer: RecordedLayer, sample: int, channel: int, value: float) -> Tile:
    # Where only statistics were recorded there is nothing to lay over the inputs.
    subject = take_sample(layer if layer.is_stored else layer.recording.inputs[0], sample)
    picture = shrunk(as_picture(find_input(layer, subject, None)), _LARGEST_PICTURE)
    heat = channel_map(subject, channel) if layer.is_stored else None
    if heat is not None:
        heat = resized(heat[np.newaxis], picture.shape[:2], "bilinear")[0]
    label = f"label {subject.label}" if subject.label else ""
    named = [subject.sample_id or f"sample {sample}", label]
    return Tile(picture, heat, value, tuple(words for words in named if words))


def channel_map(subject: Subject, channel: int) -> Values | None:
    """A channel of a sample as a map `(height, width)` that fits an image; None if it does not."""
    maps = arrange(subject.values, subject.axes)
    if not maps.column_axis or maps.slices > 1 or maps.noun == "head":
        return None
    if len(maps.values) <= channel:
        return None
    if not maps.row_axis:
        if square_of(maps.values.shape[-1]) is None:
            return None
        maps, _ = square_tokens(maps)
    return np.asarray(maps.values[channel, 0])


def _paint_of(row: Sequence[Tile], alpha: float, cmap: str | Colormap | None) -> Paint | None:
    maps = [tile.heat.ravel() for tile in row if tile.heat is not None]
    if not maps:
        return None
    scale = scale_for(np.concatenate(maps))
    return Paint(scale, draw.colour_map(cmap or default_colours(scale, "inferno")), alpha)


def _prepared(size: tuple[float, float], surface: Surface | None) -> Canvas:
    if surface is None:
        return prepare((size[0] * _TILE_INCHES, size[1] * _TILE_INCHES), None, _BESIDE)
    return prepare(picture_size(size[0] / size[1], 1, surface), surface)


def _draw_tile(axes: Axes, tile: Tile, paint: Paint | None, room: Extent, canvas: Canvas) -> None:
    left, _, bottom, highest = room
    height = min(highest - bottom, tile.picture.shape[0] / tile.picture.shape[1])
    extent = (left, left + 1, bottom, bottom + height)
    draw.draw_picture(axes, tile.picture, "antialiased", extent)
    if tile.heat is not None and paint is not None:
        draw.draw_image(axes, tile.heat, paint, "antialiased", extent)
        draw.draw_marks(axes, not_finite(tile.heat), extent)
    inches = canvas.width / (axes.get_xlim()[1] - axes.get_xlim()[0])
    letters = round(inches * _LETTERS_PER_INCH)
    words = axes.annotate(
        "\n".join([f"{tile.value:.3g}", *(shorten(words, letters) for words in tile.words)]),
        (left, bottom),
        xytext=(0, -2),
        textcoords="offset points",
        va="top",
        fontsize=NAME_SIZE,
        color="0.25",
        in_layout=False,
    )
    literal(words)


def _draw_bar(
    axes: Axes, paint: Paint, bounds: tuple[float, float, float, float], label: str
) -> None:
    inset = axes.inset_axes(bounds, transform=axes.transData)
    bar = axes.figure.colorbar(ScalarMappable(paint.norm, paint.colours), cax=inset)
    bar.outline.set_visible(False)
    bar.set_label(label, size=NAME_SIZE + 0.5)
    inset.tick_params(labelsize=NAME_SIZE, width=0.5, length=2.5)


def _draw_label(axes: Axes, label: str, at: tuple[float, float]) -> None:
    axes.text(*at, label, fontsize=NAME_SIZE + 0.5, rotation=90, ha="right", va="center")


def _draw_heading(
    axes: Axes, canvas: Canvas, layer: RecordedLayer, numbers: Sequence[int], shown: int
) -> None:
    total = counted(len(layer.statistics.count), "channel")
    which = f"channel {numbers[0]} of {total}" if len(numbers) == 1 else total
    letters = canvas.detail_letters
    samples = f"{shown} strongest of {counted(len(layer), 'sample')}"
    parts = [layer.class_name, which, samples]
    lines = wrapped([shorten(part, letters) for part in parts if part], letters)
    draw.draw_words(axes, canvas, shorten(layer.name, canvas.title_letters), lines)
