"""Pictures as pixels and in files: the same as matplotlib's own way, which draws twice."""

import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from actscope import render
from actscope.render.saving import pixels, write_png
from rendered import write_arrays

random = np.random.default_rng(0)
ARRAYS = {
    "conv": random.normal(size=(3, 9, 8, 70)).astype(np.float32),
    "dense": random.normal(size=(3, 40)).astype(np.float32),
    "lstm": random.normal(size=(3, 12, 5)).astype(np.float32),
    "scores": random.random((3, 2, 6, 6)).astype(np.float32),
}
TOKENS = ["a", "long-token", "b", "c", "d", "e"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("saving") / "run.h5"
    axes = {"scores": ("head", "query", "key")}
    images = random.random((3, 18, 16, 1)).astype(np.float32)
    with write_arrays(path, ARRAYS, axes, inputs=(images,)) as opened:
        yield opened


@pytest.mark.parametrize(
    "draw",
    [
        lambda r: render.grid(r["conv"]),
        lambda r: render.grid(r["conv"], channel=1),
        lambda r: render.heatmap(r["conv"]),
        lambda r: render.vector(r["dense"]),
        lambda r: render.sequence(r["lstm"]),
        lambda r: render.attention(r["scores"], tokens=TOKENS),
        lambda r: render.compare(r["conv"], r["conv"]),
        render.histogram,
        render.statistics,
        lambda r: render.top(r["conv"]),
        render.flow,
    ],
)
def test_the_pixels_are_those_of_savefig(recording, draw):
    twice = io.BytesIO()
    draw(recording).savefig(twice, format="png", dpi=150)
    with Image.open(twice) as image:
        np.testing.assert_array_equal(pixels(draw(recording)), np.asarray(image))


def test_an_opaque_png_has_no_alpha_and_a_transparent_one_has():
    opaque, clear = Figure((1, 1)), Figure((1, 1), facecolor=(1, 1, 1, 0))
    for figure, mode in ((opaque, "RGB"), (clear, "RGBA")):
        written = io.BytesIO()
        write_png(figure, written)
        with Image.open(written) as image:
            assert (image.mode, image.size) == (mode, (150, 150))
            assert image.info["dpi"] == pytest.approx((150, 150), abs=0.02)


def test_a_figure_is_left_as_it_was():
    figure = Figure((2, 1), dpi=80)
    canvas = FigureCanvasAgg(figure)
    assert pixels(figure).shape == (150, 300, 4)
    assert figure.dpi == 80
    assert figure.canvas is canvas
