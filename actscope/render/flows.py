"""Draws one sample's way through a whole network, on one page."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path

from actscope.errors import RenderError
from actscope.plurals import counted
from actscope.render import pathway
from actscope.render.canvas import RESOLUTION
from actscope.render.letters import literal
from actscope.render.miniatures import (
    MOST_TILES,
    MOST_VALUES,
    draw_input,
    draw_miniature,
    draw_output,
)
from actscope.render.pathway import Pathway, Point, lay_out, thinned
from actscope.render.subject import as_numbers, find_sample, take_sample
from actscope.render.surface import part_for, surface_of
from actscope.render.words import shorten, titled, wrapped
from actscope.store.reader import RecordedLayer, RecordedTensor, Recording

_INK = "0.35"
_LINE_COLOUR = "0.55"
_TITLE_SIZE = 11.0
_DETAIL_SIZE = 7.0
_NAME_SIZE = 7.0
_SMALL_SIZE = 5.5
_NAME_LETTERS = 20
_SHAPE_LETTERS = 28
_AXES_OF_STEPS = 3  # samples, steps and channels
_TITLE_BELOW_TOP = 0.27
_LINES_BELOW_TOP = (0.43, 0.56)
_LETTERS_PER_INCH = 16
_TITLE_LETTERS_PER_INCH = 11


def flow(
    recording: Recording,
    sample: int | str = 0,
    *,
    ax: Axes | None = None,
    figure: Figure | SubFigure | None = None,
) -> Figure:
    """Draw what every recorded layer computed for one sample, in the order of execution.

    The stored inputs come first; then each layer with its name, class and shape: of feature maps
    the four strongest channels, of steps and tokens one image, of vectors a profile; and last the
    output, its values listed where it is a vector, the ten greatest of many. Each picture has its
    own colours, around zero where there are clearly values on both sides, and NaN and infinities
    are marked. Of more than 108 pictures an even choice is drawn, and it is said how many are left
    out. The arrows follow the order of execution, not the connections of the model.

    Args:
        recording: an opened recording.
        sample: its position, negative from the end, or its id.
        ax: empty axes of `plt.subplots`, whose place the picture takes.
        figure: an empty figure or subfigure to draw on; by default a new one.

    Returns:
        The figure; where a subfigure was given, the one it is part of.

    Raises:
        RenderError: there is no such sample, or there are no layers.
    """
    surface = surface_of(ax, figure)
    position = find_sample(sample, recording.samples, recording.ids, recording.path.name)
    inputs, layers = recording.inputs, layers_in_order(recording)
    if not layers:
        raise RenderError(f"{recording.path.name} has no layers to draw")
    shown = thinned(len(layers), pathway.MOST_CARDS - len(inputs))
    way = lay_out(len(inputs) + len(shown))
    whole = Figure(way.size, dpi=RESOLUTION) if surface is None else part_for(surface)
    page = _page(whole, way)
    for corner, tensor in zip(way.corners, inputs, strict=False):
        _draw_input_card(page, way, corner, tensor, position)
    for corner, number in zip(way.corners[len(inputs) :], shown, strict=True):
        _draw_layer_card(page, way, corner, layers[number], position, number == len(layers) - 1)
    for points in way.lines:
        page.add_patch(_arrow(points))
    _draw_heading(page, way, recording, position, _layers_words(layers, len(shown)))
    return whole.figure


def layers_in_order(recording: Recording) -> list[RecordedLayer]:
    """One tensor for each that a layer returned, in the order of execution.

    Of those that were stored in several reductions it is the first.
    """
    found: dict[tuple[str, int, int, str], RecordedLayer] = {}
    for path in recording:
        for output in recording.outputs(path):
            found.setdefault((path, output.call, output.index, output.key), output)
    return sorted(found.values(), key=lambda layer: layer.order)


def _page(figure: Figure | SubFigure, way: Pathway) -> Axes:
    """Axes over the whole page, in inches, for words and lines."""
    page = figure.add_axes((0, 0, 1, 1), label="page")
    page.set(xlim=(0, way.size[0]), ylim=(0, way.size[1]))
    page.set_axis_off()
    return page


def _picture_axes(page: Axes, way: Pathway, corner: Point) -> Axes:
    """Axes for the picture of the card at `corner`, without lines and ticks."""
    width, height = way.size
    axes = page.figure.add_axes(
        (
            (corner[0] + pathway.PICTURE_LEFT) / width,
            (corner[1] + pathway.PICTURE_BOTTOM) / height,
            pathway.PICTURE_WIDTH / width,
            pathway.PICTURE_HEIGHT / height,
        ),
        label=f"card {corner}",
    )
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.set_anchor("W")
    axes.spines[:].set_visible(False)
    return axes


def _draw_input_card(
    page: Axes, way: Pathway, corner: Point, tensor: RecordedTensor, position: int
) -> None:
    _write(page, corner, tensor.name or "input", f"input {_shape(tensor)}")
    axes = _picture_axes(page, way, corner)
    draw_input(axes, as_numbers(tensor[position], tensor.name))


def _draw_layer_card(
    page: Axes, way: Pathway, corner: Point, layer: RecordedLayer, position: int, last: bool
) -> None:
    axes, shape = _picture_axes(page, way, corner), f"{layer.class_name} {_shape(layer)}"
    try:
        subject = take_sample(layer, position)
    except RenderError:  # no values, or no numbers: the others are drawn all the same
        axes.text(0.5, 0.5, "nothing to draw", ha="center", fontsize=_SMALL_SIZE, color=_INK)
    else:
        size = subject.values.size
        if last and size == max(subject.values.shape, default=1):
            draw_output(axes, subject.values.ravel())
            shape += f", {MOST_VALUES} greatest" if size > MOST_VALUES else ""
        else:
            draw_miniature(axes, subject)
    _write(page, corner, layer.name, shape)


def _shape(tensor: RecordedTensor) -> str:
    return "×".join(map(str, tensor.shape[1:])) or "1"


def _write(page: Axes, corner: Point, name: str, shape: str) -> None:
    left = corner[0] + pathway.PICTURE_LEFT
    top = corner[1] + pathway.PICTURE_BOTTOM + pathway.PICTURE_HEIGHT
    for text, letters, height, size, colour in (
        (name, _NAME_LETTERS, 0.18, _NAME_SIZE, "black"),
        (shape, _SHAPE_LETTERS, 0.07, _SMALL_SIZE, _INK),
    ):
        _put(page, (left, top + height), shorten(text, letters), size, colour)


def _put(page: Axes, at: Point, text: str, size: float, colour: str) -> None:
    """A text on the page, drawn literally."""
    literal(page.text(*at, text, fontsize=size, color=colour))


def _arrow(points: list[Point]) -> FancyArrowPatch:
    return FancyArrowPatch(
        path=Path(points),
        arrowstyle="-|>",
        mutation_scale=5,
        linewidth=0.6,
        color=_LINE_COLOUR,
        joinstyle="miter",
        clip_on=False,
    )


def _draw_heading(
    page: Axes, way: Pathway, recording: Recording, position: int, words: list[str]
) -> None:
    left, (width, top) = pathway.MARGIN + pathway.PICTURE_LEFT, way.size
    ending = f"sample {position}"
    title = titled(_model_name(recording), ending, round(width * _TITLE_LETTERS_PER_INCH))
    sample = [
        recording.ids[position] if recording.ids else "",
        "" if recording.labels is None else f"label {recording.labels[position]}",
    ]
    lines = wrapped([*sample, *words], round(width * _LETTERS_PER_INCH))
    _put(page, (left, top - _TITLE_BELOW_TOP), title, _TITLE_SIZE, "black")
    for line, below in zip(lines, _LINES_BELOW_TOP, strict=False):
        _put(page, (left, top - below), line, _DETAIL_SIZE, _INK)


def _model_name(recording: Recording) -> str:
    model = recording.provenance.get("model")
    name = model.get("name") if isinstance(model, dict) else None
    return str(name or recording.path.stem)


def _layers_words(layers: Sequence[RecordedLayer], shown: int) -> list[str]:
    """How many layers there are, which are left out, and what of them is shown how."""
    count = len(layers)
    words = counted(count, "layer")
    if shown < count:
        words = f"{shown} of {words}, {count - shown} left out"
    maps = any(len(layer.dims) > _AXES_OF_STEPS for layer in layers)
    strongest = f"of maps the {MOST_TILES} strongest channels" if maps else ""
    return [words, "each picture in its own colours", strongest]
