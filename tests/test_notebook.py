"""What notebooks show: escaped tables, drawings that read little of the file."""

import re
from math import prod

import numpy as np
import pytest

import actscope
from actscope.notebook import MOST_LAYERS, first_values
from reportable import SCRIPT, arrays, record


def test_a_table_of_all_layers_is_escaped(tmp_path):
    with actscope.open(record(tmp_path / "run.h5")) as recording:
        html = recording._repr_html_()
        assert repr(recording).startswith("<Recording run.h5")
    assert SCRIPT not in html
    assert "<img" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert html.count("<svg") == len(arrays()) - 1  # but for the one number of a loss
    assert "(6, 8, 8, 70)" in html
    assert "currentColor" in html


def test_a_layer_and_an_input_of_their_own(tmp_path):
    with actscope.open(record(tmp_path / "run.h5")) as recording:
        html = recording["backbone/head/dense"]._repr_html_()
        values = arrays()["backbone/head/dense"][0]
        assert f"histogram from {values.min():.4g} to {values.max():.4g}" in html
        assert "image" in recording.inputs[0]._repr_html_()


def test_a_drawing_has_the_bars_of_a_histogram(tmp_path):
    rows = np.random.default_rng(0).normal(size=(2, 1000)).astype(np.float32)
    with actscope.open(record(tmp_path / "run.h5", {"dense": rows})) as recording:
        heights = re.findall(r"v-([\d.]+)h", recording["dense"]._repr_html_())
    counts = np.histogram(rows[0], 24)[0]
    expected = np.sqrt(counts[counts > 0] / counts.max()) * 18
    np.testing.assert_allclose(np.array(heights, float), expected, atol=0.06)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_nothing_to_draw(tmp_path, value):
    rows = np.full((2, 3), value, np.float32)
    with actscope.open(record(tmp_path / "run.h5", {"dense": rows})) as recording:
        assert "<svg" not in recording._repr_html_()


def test_the_largest_values_do_not_overflow(tmp_path):
    rows = np.array([[-1.7e308, 0.0, 1.7e308]])
    with actscope.open(record(tmp_path / "run.h5", {"dense": rows})) as recording:
        assert "from -1.7e+308 to 1.7e+308" in recording._repr_html_()


def test_a_closed_recording_and_very_many_layers(tmp_path):
    many = {f"layer_{number}": np.zeros((1, 2), np.float32) for number in range(MOST_LAYERS + 5)}
    with actscope.open(record(tmp_path / "run.h5", many)) as recording:
        assert "5 further layers" in recording._repr_html_()
    assert "layer_0" in recording._repr_html_()


@pytest.mark.parametrize(
    "shape", [(9, 64, 64, 256), (9, 10_000_000), (9, 1, 1, 50_000), (9, 3), (9,)]
)
def test_little_is_read(shape):
    index = first_values(shape, 4, 10_000)
    taken = np.broadcast_to(np.float32(0), shape)[index]
    assert taken.size >= min(prod(shape[1:]), 1)
    assert taken.size * 4 <= 10_000
