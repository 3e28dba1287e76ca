"""Two recordings of one layer side by side."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from actscope import render
from actscope.errors import RenderError
from actscope.render.comparisons import largest_words
from rendered import assert_nothing_cut_off, heights_of, write_arrays

random = np.random.default_rng(0)
A = {
    "conv": random.random((4, 6, 7, 4)).astype(np.float32),
    "lstm": random.normal(size=(4, 30, 5)).astype(np.float32),
    "dense": random.normal(size=(4, 12)).astype(np.float32),
    "long": random.normal(size=(4, 600)).astype(np.float32),
}
B = {name: array[::-1] + np.float32(0.25) for name, array in A.items()}


@pytest.fixture(scope="module")
def sides(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sides")
    return write_arrays(folder / "a.h5", A), write_arrays(folder / "b.h5", B)


def panels_of(figure):
    FigureCanvasAgg(figure).draw()
    return figure.axes


def packed(axes):
    image = np.ma.filled(axes.images[0].get_array(), np.nan)
    held = np.isfinite(image)
    return image[held.any(axis=1)][:, held.any(axis=0)]


def heading_of(figure):
    top = figure.subfigs[0]
    return [text.get_text() for text in top.texts]


def test_maps_share_a_scale_and_the_difference_has_its_own(sides):
    a, b = sides
    figure = render.compare(a["conv"], b["conv"], 1, columns=2)
    panels = panels_of(figure)
    first, second = A["conv"][1], B["conv"][1]
    for axes, values in zip(panels, (first, second, second - first), strict=True):
        rows = [np.hstack([values[..., 0], values[..., 1]])]
        rows.append(np.hstack([values[..., 2], values[..., 3]]))
        np.testing.assert_allclose(packed(axes), np.vstack(rows), atol=1e-6)
    ends = (min(first.min(), second.min()), max(first.max(), second.max()))
    assert panels[0].images[0].get_clim() == panels[1].images[0].get_clim() == ends
    reach = np.abs(second.astype(float) - first).max()
    assert panels[2].images[0].get_clim() == pytest.approx((-reach, reach))
    assert panels[2].images[0].get_cmap().name == "RdBu_r"
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles == ["a · a.h5", "b · b.h5", "b − a"]
    assert heading_of(figure) == [
        f"conv · sample 1 · largest |b − a| {reach:.3g}",
        "Conv2D · 4 channels of 6×7 · digit-1 · label 11",
    ]


def test_the_sample_of_the_same_id_is_compared(sides, tmp_path):
    a, _ = sides
    turned = {"conv": A["conv"][:, ::-1].copy()}
    ids = ("digit-3", "digit-2", "digit-1", "digit-0")
    with write_arrays(tmp_path / "c.h5", turned, ids=ids) as c:
        figure = render.compare(a["conv"], c["conv"], 1, columns=1)
        expected = np.concatenate(np.moveaxis(turned["conv"][2], -1, 0))
        np.testing.assert_array_equal(packed(figure.axes[1]), expected)
    others = write_arrays(tmp_path / "d.h5", turned, ids=("x", "y", "z", "digit-3"))
    with pytest.raises(RenderError, match="second recording has no sample 'digit-1'"):
        render.compare(a["conv"], others["conv"], 1)


def test_samples_of_a_training_are_compared_within_their_epoch(tmp_path):
    a = write_arrays(tmp_path / "a.h5", A, epochs=(1, 1, 2, 2))
    b = write_arrays(tmp_path / "b.h5", B, epochs=(1, 1, 2, 2))
    figure = render.compare(a["conv"], b["conv"], 3, columns=1)
    expected = np.concatenate(np.moveaxis(B["conv"][3], -1, 0))
    np.testing.assert_array_equal(packed(figure.axes[1]), expected)
    assert heading_of(figure)[0].startswith("conv · sample 1 · epoch 2")


@pytest.mark.parametrize("size", [1e-9, 1e-4, 1.0, 12345.0])
@pytest.mark.parametrize("shape", [(1, 8, 8, 10), (1, 20, 4, 3), (1, 4, 20, 64), (1, 9, 9, 1)])
def test_no_panel_is_cut_off_and_all_are_of_one_size(shape, size):
    a = random.random(shape)
    figure = render.compare(a, a + size * random.normal(size=shape))
    assert_nothing_cut_off(figure)
    sizes = [axes.get_window_extent().size for axes in panels_of(figure)]
    np.testing.assert_allclose(sizes, sizes[:1] * 3, rtol=1e-6)


def test_what_is_not_finite_is_said_though_there_is_much_to_say(tmp_path):
    values = A["conv"].copy()
    values[0, 0, 0, 0] = np.nan
    ids = tuple("long-" * 12 + str(number) for number in range(len(values)))
    a = write_arrays(tmp_path / "a.h5", {"conv": values}, ids=ids)
    assert "1 NaN" in heading_of(render.compare(a["conv"], a["conv"]))[-1]


def test_bars_share_their_axis(sides):
    a, b = sides
    figure = render.compare(a["dense"], b["dense"])
    first, second, difference = panels_of(figure)
    heights = [heights_of(axes) for axes in (first, second, difference)]
    np.testing.assert_allclose(heights[0], A["dense"][0])
    np.testing.assert_allclose(heights[2], B["dense"][0] - A["dense"][0], rtol=1e-5)
    assert first.get_ylim() == second.get_ylim()
    low, high = difference.get_ylim()
    assert low == -high


@pytest.mark.parametrize("layer", ["lstm", "long"])
def test_steps_and_long_vectors_are_images(sides, layer):
    a, b = sides
    figure = render.compare(a[layer], b[layer])
    first = panels_of(figure)[0].images[0].get_array()
    expected = A[layer][0].T if layer == "lstm" else A[layer][0]
    held = np.ma.compressed(np.ma.masked_invalid(first))
    np.testing.assert_array_equal(held, expected.ravel())


def test_equal_samples_are_called_equal():
    figure = render.compare(A["conv"], A["conv"])
    assert heading_of(figure)[0] == "sample 0 · equal"
    assert np.nanmax(np.abs(packed(panels_of(figure)[2]))) == 0


def test_what_is_finite_on_one_side_only_is_counted():
    assert largest_words(np.array([1.0, np.nan]), np.array([1.5, 2.0])) == (
        "1 element finite on one side only"
    )
    assert largest_words(np.array([1.0, np.nan]), np.array([1.5, np.nan])) == "largest |b − a| 0.5"
    same = np.array([np.inf, 1.0])
    assert largest_words(same, same) == "equal"


def test_the_strongest_64_channels_of_the_first_are_drawn():
    a, b = random.random((1, 3, 3, 100)), random.random((1, 3, 3, 100))
    figure = render.compare(a, b, columns=1)
    kept = np.sort(np.argsort(-a[0].mean((0, 1)))[:64])
    expected = np.concatenate(np.moveaxis(b[0][..., kept], -1, 0))
    np.testing.assert_array_equal(packed(figure.axes[1]), expected)
    assert "64 strongest of 100 channels" in heading_of(figure)[1]


@pytest.mark.parametrize(
    ("layer", "options", "message"),
    [
        (A["lstm"], {}, "shapes"),
        (A["conv"], {"sample": 9}, "no sample 9"),
        (A["conv"], {"scale": "channel"}, "no common scale"),
        (A["conv"], {"scale": "odd"}, "no scale 'odd'"),
    ],
)
def test_what_cannot_be_compared_is_said(layer, options, message):
    with pytest.raises(RenderError, match=message):
        render.compare(A["conv"], layer, **options)


def test_a_given_figure_is_drawn_on():
    figure = Figure((12, 5))
    assert render.compare(A["conv"], B["conv"], figure=figure) is figure
    FigureCanvasAgg(figure).draw()
    assert tuple(figure.get_size_inches()) == (12, 5)
    whole = Figure((12, 9), layout="constrained")
    part, _ = whole.subfigures(2, 1)
    assert render.compare(A["dense"], B["dense"], figure=part) is whole
    FigureCanvasAgg(whole).draw()
