"""One sample's way through a network."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from actscope import render
from actscope.errors import RenderError
from actscope.render import pathway
from actscope.render.layout import arrange
from actscope.render.miniatures import greatest, strongest_tiles
from actscope.render.pathway import lay_out, thinned
from rendered import write_arrays

random = np.random.default_rng(0)
ODD_NAME = "<b>$x^2$</b>/" + "very_long_" * 20 + "$\\frac"
IMAGES = random.random((3, 8, 8, 1)).astype(np.float32)
LOST = random.normal(size=(3, 4, 4, 6)).astype(np.float32)
LOST[0, 1, 1, 0] = np.nan
ARRAYS = {
    "conv": random.random((3, 6, 7, 5)).astype(np.float32),
    ODD_NAME: LOST,
    "lstm": random.normal(size=(3, 9, 4)).astype(np.float32),
    "volume": random.random((3, 3, 5, 5, 2)).astype(np.float32),
    "flags": random.integers(0, 2, (3, 4, 4, 2)).astype(bool),
    "empty": np.zeros((3, 0, 2), np.float32),
    "number": random.random((3,)).astype(np.float32),
    "lost": np.full((3, 7), np.nan, np.float32),
    "dense": random.normal(size=(3, 12)).astype(np.float32),
    "output": random.random((3, 4)).astype(np.float32),
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return write_arrays(tmp_path_factory.mktemp("flow") / "run.h5", ARRAYS, inputs=(IMAGES,))


def page_words(figure):
    return [text.get_text() for text in figure.axes[0].texts]


@pytest.mark.parametrize("cards", [1, 2, 7, 57, 108])
def test_cards_neither_overlap_nor_leave_the_page(cards):
    way = lay_out(cards)
    corners = np.array(way.corners)
    assert len(corners) == cards
    assert (corners >= 0).all()
    assert (corners[:, 0] + pathway.CARD_WIDTH <= way.size[0]).all()
    assert (corners[:, 1] + pathway.CARD_HEIGHT <= way.size[1] - pathway.HEADING + 1e-9).all()
    apart = np.abs(corners[:, np.newaxis] - corners) >= np.array(
        [pathway.CARD_WIDTH - 1e-9, pathway.CARD_HEIGHT - 1e-9]
    )
    assert (apart.any(-1) | np.eye(cards, dtype=bool)).all()
    assert cards < 5 or 0.9 < way.size[0] / way.size[1] < 2.6


def test_lines_lead_from_each_card_to_the_next_within_the_page():
    way = lay_out(23)
    assert len(way.lines) == 22
    for line, before, after in zip(way.lines, way.corners, way.corners[1:], strict=False):
        points = np.array(line)
        assert before[0] < points[0, 0] < before[0] + pathway.CARD_WIDTH
        assert after[0] < points[-1, 0] < after[0] + pathway.CARD_WIDTH
        assert after[1] < points[-1, 1] < after[1] + pathway.CARD_HEIGHT
        assert (points >= 0).all()
        assert (points <= way.size).all()
        steps = np.diff(points, axis=0)
        assert ((steps == 0).any(axis=1)).all()  # across or down, never aslant
        assert len(line) == (2 if before[1] == after[1] else 6)


def test_of_too_many_the_first_and_the_last_stay():
    assert list(thinned(108)) == list(range(108))
    kept = thinned(500)
    assert (len(set(kept)), kept[0], kept[-1]) == (108, 0, 499)
    assert max(np.diff(kept)) - min(np.diff(kept)) <= 1


def test_the_strongest_four_channels_are_shown():
    values = random.normal(size=(6, 7, 9))
    tiles = strongest_tiles(arrange(values, ("y", "x", "channel")))
    order = np.argsort(-np.abs(values).mean((0, 1)))[:4]
    np.testing.assert_array_equal(tiles, values.transpose(2, 0, 1)[order])
    volume = random.random((5, 6, 7, 2))
    middle = strongest_tiles(arrange(volume, ("z", "y", "x", "channel")))
    order = np.argsort(-volume.mean((0, 1, 2)))
    np.testing.assert_array_equal(middle, volume[2].transpose(2, 0, 1)[order])


def test_the_greatest_ten_values_are_listed_in_their_order():
    values = random.normal(size=40)
    values[3], values[4] = np.nan, 9
    listed = greatest(values)
    expected = sorted(np.argsort(-np.nan_to_num(values, nan=-99))[:10])
    np.testing.assert_array_equal(listed.numbers, expected)
    np.testing.assert_array_equal(listed.values, values[expected])
    assert list(greatest(np.array([np.nan, 1.0])).numbers) == [0, 1]


def test_every_layer_has_a_card_in_the_order_of_execution(recording):
    figure = render.flow(recording, "digit-1")
    assert len(figure.axes) == 1 + 1 + len(ARRAYS)
    words = page_words(figure)
    names, shapes = words[:-3:2], words[1:-3:2]
    assert names[:2] == ["input_0", "conv"]
    assert names[3:] == list(ARRAYS)[2:]
    assert names[2].startswith("<b>$x^2$") and names[2].endswith("\\frac")
    assert shapes[:2] == ["input 8×8×1", "Conv2D 6×7×5"]
    assert words[-3:] == [
        "run · sample 1",
        "digit-1 · label 11 · 10 layers · each picture in its own colours",
        "of maps the 4 strongest channels",
    ]
    assert [text.get_text() for text in figure.axes[7].texts] == ["nothing to draw"]


def test_the_output_is_listed_with_its_values(recording):
    figure = render.flow(recording, 2)
    output = figure.axes[-1]
    widths = [bar.get_width() for bar in output.patches]
    np.testing.assert_allclose(widths, ARRAYS["output"][2])
    texts = [text.get_text() for text in output.texts]
    assert texts == [
        word for number, value in enumerate(ARRAYS["output"][2]) for word in
        (str(number), f"{value:.3g}")
    ]  # fmt: skip


def test_nothing_overlaps_or_leaves_the_page(recording):
    figure = render.flow(recording)
    FigureCanvasAgg(figure).draw()
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts]
    for position, box in enumerate(boxes):
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width
        assert box.y0 >= 0 and box.y1 <= figure.bbox.height
        assert not any(box.overlaps(other) for other in boxes[position + 1 :])


def test_many_layers_are_thinned_out_and_counted(tmp_path):
    arrays = {f"layer_{number}": np.zeros((1, 2), np.float32) for number in range(120)}
    with write_arrays(tmp_path / "many.h5", arrays) as many:
        figure = render.flow(many)
    assert len(figure.axes) == 1 + 108
    words = page_words(figure)
    assert (words[0], words[2 * 107]) == ("layer_0", "layer_119")
    assert "108 of 120 layers, 12 left out" in words[-1]


def test_a_given_figure_is_drawn_on_and_a_missing_sample_named(recording):
    figure = Figure((9, 5), layout="constrained")
    left, _ = figure.subfigures(1, 2)
    assert render.flow(recording, figure=left) is figure
    FigureCanvasAgg(figure).draw()
    with pytest.raises(RenderError, match="no sample 3"):
        render.flow(recording, 3)
