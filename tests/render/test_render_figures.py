import subprocess
import sys

import numpy as np
import pytest
from matplotlib import colormaps
from matplotlib.figure import Figure
from PIL import Image

from actscope import render
from actscope.errors import MissingFileError, RenderError
from rendered import (
    assert_nothing_cut_off,
    assert_numbered,
    bar_label_of,
    bars_of,
    drawn,
    heights_of,
    image_of,
    words_of,
    write_arrays,
)

random = np.random.default_rng(0)
ODD_NAME = "<script>alert('$x^2$')</script>/" + "very_long_" * 20 + "$\\frac"

ARRAYS = {
    "conv": random.random((5, 6, 7, 4)).astype(np.float32),
    "signed": random.normal(size=(5, 6, 7, 4)).astype(np.float16),
    "first": random.normal(size=(5, 3, 6, 7)).astype(np.float32),
    "dense": random.normal(size=(5, 12)).astype(np.float32),
    "tokens": random.normal(size=(5, 17, 3)).astype(np.float32),
    "attention": random.random((5, 2, 4, 4)).astype(np.float32),
    "flags": random.integers(0, 2, (5, 3, 3, 2)).astype(bool),
    "empty": np.zeros((5, 3, 0, 2), np.float32),
    ODD_NAME: random.random((5, 3, 3, 2)).astype(np.float32),
}
AXES = {"first": ("channel", "y", "x"), "attention": ("head", "query", "key")}
IMAGES = random.random((5, 12, 14, 1)).astype(np.float32)


def write(path, *, ids=True, inputs=(IMAGES,)):
    return write_arrays(path, ARRAYS, AXES, ids=ids, inputs=inputs)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return write(tmp_path_factory.mktemp("render") / "run.h5")


# ---- grid


def test_a_grid_is_one_image_that_holds_every_channel(recording):
    figure = render.grid(recording["conv"], 2)
    assert_nothing_cut_off(figure)
    assert len(figure.axes) == len(figure.axes[0].images) == 1
    image, values = image_of(figure), ARRAYS["conv"][2]
    assert np.isfinite(image).sum() == values.size
    held = np.isfinite(image)
    packed = image[held.any(axis=1)][:, held.any(axis=0)]
    expected = np.block([[values[..., 0], values[..., 1]], [values[..., 2], values[..., 3]]])
    np.testing.assert_array_equal(packed, expected)
    assert figure.axes[0].images[0].get_clim() == (values.min(), values.max())
    assert figure.axes[0].images[0].get_cmap().name == "viridis"
    assert_numbered(figure, ["0", "1", "2", "3"])


def test_the_words_around_a_grid(recording):
    figure = render.grid(recording["conv"], "digit-3")
    assert words_of(figure) == (
        "conv · sample 3",
        "Conv2D · 4 channels of 6×7 · digit-3 · label 33",
    )
    assert bar_label_of(figure) == "activation"


def test_signed_values_get_a_diverging_scale_around_zero(recording):
    figure = render.grid(recording["signed"], -1)
    reach = np.abs(ARRAYS["signed"][4].astype(np.float32)).max()
    assert figure.axes[0].images[0].get_clim() == (-reach, reach)
    assert figure.axes[0].images[0].get_cmap().name == "RdBu_r"
    assert words_of(figure)[0] == "signed · sample 4"


def test_each_channel_over_its_own_range(recording):
    figure = render.grid(recording["first"], 1, scale="channel", columns=1)
    values = ARRAYS["first"][1]
    low, high = values.min((1, 2), keepdims=True), values.max((1, 2), keepdims=True)
    image = image_of(figure)
    shares = image[np.isfinite(image)].reshape(3, 6, 7)
    np.testing.assert_allclose(shares, (values - low) / (high - low), atol=1e-6)
    assert bar_label_of(figure) == "share of each channel's range"
    assert "each channel over its own range" in words_of(figure)[1]
    assert figure.axes[0].images[0].get_clim() == (0, 1)


def test_tokens_run_to_the_right_and_channels_down(recording):
    figure = render.grid(recording["tokens"])
    assert_nothing_cut_off(figure)
    np.testing.assert_array_equal(image_of(figure), ARRAYS["tokens"][0].T)
    assert (figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()) == ("token", "channel")
    assert "3 channels × 17 tokens" in words_of(figure)[1]


def test_attention_is_a_map_for_each_head(recording):
    figure = render.grid(recording["attention"])
    assert "2 heads of 4×4 (query×key)" in words_of(figure)[1]


def test_one_value_per_channel_is_drawn_as_a_vector(recording):
    heights = heights_of(render.grid(recording["dense"]).axes[0])
    np.testing.assert_array_equal(heights, ARRAYS["dense"][0])


def test_flags_are_drawn_as_0_and_1(recording):
    image = image_of(render.grid(recording["flags"]))
    assert set(image[np.isfinite(image)]) <= {0, 1}
    assert np.nansum(image) == ARRAYS["flags"][0].sum()


def test_what_is_not_finite_is_marked_and_counted():
    values = random.random((1, 6, 6, 4))
    values[0, 2, 3, 0], values[0, 1, 1, 3] = np.nan, -np.inf
    values[0, ..., 2] = np.nan
    before = values.copy()
    figure = render.grid(values)
    drawn(figure)
    assert words_of(figure)[1].endswith("37 NaN, 1 inf")
    image, marks = figure.axes[0].images
    assert np.ma.count(marks.get_array()) == 38
    assert marks.get_array()[2, 3] == 1
    finite = values[np.isfinite(values)]
    assert image.get_clim() == (finite.min(), finite.max())
    np.testing.assert_array_equal(values, before)
    marked = marks.get_cmap()(1.0)
    for name in ("viridis", "RdBu_r", "inferno"):
        distance = np.abs(colormaps[name](np.linspace(0, 1, 256)) - marked).max(axis=1)
        assert distance.min() > 0.3


def test_the_strongest_of_many_channels_keep_their_numbers():
    values = random.random((1, 4, 4, 300))
    figure = render.grid(values)
    kept = np.sort(np.argsort(values[0].mean((0, 1)))[-256:])
    assert_numbered(figure, [str(number) for number in kept])
    assert words_of(figure)[1] == "256 strongest of 300 channels of 4×4"


@pytest.mark.parametrize(
    "values",
    [
        np.full((1, 3, 3, 2), np.nan),
        np.full((1, 3, 3, 2), np.inf),
        np.zeros((1, 3, 3, 2)),
        np.full((1, 3, 3, 2), -1e300),
        np.array([-1e300, 1e300, 0, 1]).reshape(1, 2, 2, 1),
        np.full((1, 3, 3, 2), 3e38, np.float32),
        random.random((1, 1, 90, 3)),
        random.random((1, 90, 1, 3)),
        random.random((1, 1, 1, 3)),
        random.random((1, 3, 4, 5, 2)),
        random.random((1, 2, 2, 3, 4, 5, 2)),
        random.integers(-5, 5, (1, 8, 8, 2)),
        random.random((1, 2)),
        random.random(1),
        random.random((1, 1, 1)),
        random.random((1, 250, 250, 12)),
    ],
    ids=lambda values: f"{values.shape}-{values.flat[0]:.0e}",
)
def test_odd_data_are_drawn_with_nothing_cut_off(values):
    assert_nothing_cut_off(render.grid(values))


@pytest.mark.parametrize("values", [np.full((1, 3, 3, 2), np.nan), random.random((1, 1, 90, 3))])
def test_odd_data_are_drawn_over_the_range_of_each_channel(values):
    assert_nothing_cut_off(render.grid(values, scale="channel"))


def test_names_are_drawn_literally_and_shortened(recording, tmp_path):
    figure = render.grid(recording[ODD_NAME])
    assert_nothing_cut_off(figure)
    title = words_of(figure)[0]
    assert title.startswith("<script>alert('$x^2$")
    assert title.endswith("$\\frac · sample 0")
    render.save(figure, tmp_path / "odd.svg")
    assert "<script" not in (tmp_path / "odd.svg").read_text()


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (5, r"no sample 5 of 'conv': the number of samples is 5 \(0 to 4\)"),
        (-6, "no sample -6"),
        ("digit-9", "no sample 'digit-9' of 'conv': did you mean 'digit-"),
        (1.0, "the sample must be a whole number, got 1.0"),
    ],
)
@pytest.mark.parametrize("function", [render.grid, render.heatmap, render.vector])
def test_wrong_samples_are_named(recording, function, sample, message):
    with pytest.raises(RenderError, match=message):
        function(recording["conv"], sample)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: render.grid(r["conv"], scale="own"), "no scale 'own'"),
        (lambda r: render.grid(r["conv"], cmap="virids"), "did you mean 'viridis'"),
        (lambda r: render.grid(r["conv"], columns=0), "columns must be"),
        (lambda r: render.grid(r["empty"]), r"'empty' has nothing to draw.*\(3, 0, 2\)"),
        (lambda r: render.grid(np.zeros((0, 3))), "the number of samples is 0"),
        (lambda r: render.grid(np.array(["a"])), "holds <U1, which cannot be drawn"),
        (lambda r: render.grid(np.zeros((1, 3), complex)), "complex128"),
        (lambda r: render.grid(7), "a single number"),
        (lambda r: render.grid(np.zeros((2, 3)), "a"), "have no ids"),
        (lambda r: render.vector(r["conv"]), r"\(y, x, channel\).*use render.grid"),
        (lambda r: render.heatmap(r["dense"]), "use render.vector or render.grid"),
        (lambda r: render.heatmap(r["attention"]), "cannot be laid over an image"),
        (lambda r: render.heatmap(r["conv"], channel=4), "no channel 4 of 'conv'"),
        (lambda r: render.heatmap(r["conv"], merge="sum"), "no merge 'sum'"),
        (lambda r: render.heatmap(r["conv"], alpha=2), "alpha must be from 0 to 1, got 2"),
        (lambda r: render.heatmap(r["conv"], interpolation="cubic"), "no interpolation 'cubic'"),
        (lambda r: render.heatmap(r["conv"], input=np.zeros((5, 12, 14, 1))), "is no image"),
        (lambda r: render.heatmap(r["conv"], input=np.zeros(12)), "is no image"),
        (lambda r: render.heatmap(np.zeros((1, 3, 3, 2))), "--store-inputs"),
    ],
)
def test_what_cannot_be_drawn_is_said(recording, call, message):
    with pytest.raises(RenderError, match=message):
        call(recording)


# ---- vector


def test_bars_have_the_heights_of_the_values(recording):
    figure = render.vector(recording["dense"], "digit-1")
    assert_nothing_cut_off(figure)
    axes, values = figure.axes[0], ARRAYS["dense"][1]
    np.testing.assert_array_equal(heights_of(axes), values)
    colours = bars_of(axes).get_facecolors()
    assert len(np.unique(colours, axis=0)) == 2
    assert len(np.unique(colours[values < 0], axis=0)) == 1
    assert list(axes.get_xticks()) == list(range(12))
    assert words_of(figure) == ("dense · sample 1", "Conv2D · 12 channels · digit-1 · label 11")


def test_bars_that_are_not_finite_are_crosses():
    figure = render.vector(np.array([[1.0, np.nan, 2.0, np.inf]]))
    crosses = figure.axes[0].collections[-1]
    np.testing.assert_array_equal(crosses.get_offsets(), [[1, 0], [3, 0]])
    np.testing.assert_array_equal(heights_of(figure.axes[0]), [1, 0, 2, 0])
    assert words_of(figure)[1] == "4 channels · 1 NaN, 1 inf"


def test_bars_take_a_colour_map():
    figure = render.vector(np.array([[0.0, 1.0, 2.0]]), cmap="viridis")
    colours = bars_of(figure.axes[0]).get_facecolors()
    np.testing.assert_allclose(colours, colormaps["viridis"]([0.0, 0.5, 1.0]))


def test_many_values_are_the_pixels_of_one_image():
    values = random.random((1, 601))
    figure = render.vector(values)
    assert_nothing_cut_off(figure)
    np.testing.assert_array_equal(image_of(figure).ravel()[:601], values[0])
    assert np.isnan(image_of(figure).ravel()[601:]).all()
    assert len(heights_of(render.vector(values[:, :512]).axes[0])) == 512


def test_a_tile_or_bars_may_be_asked_for():
    values = random.normal(size=(1, 600))
    tile = render.vector(values[:, :256], tile=True)
    np.testing.assert_array_equal(image_of(tile), values[0, :256].reshape(16, 16))
    assert words_of(tile)[1] == "256 channels, 16 to a row"
    assert len(heights_of(render.vector(values, tile=False).axes[0])) == 600


# ---- heatmap


def test_the_mean_over_the_stored_input(recording):
    figure = render.heatmap(recording["conv"], 1, interpolation="nearest", alpha=0.3)
    assert_nothing_cut_off(figure)
    picture, heat = figure.axes[0].images
    np.testing.assert_allclose(picture.get_array()[..., 0], IMAGES[1, ..., 0], atol=1e-6)
    expected = ARRAYS["conv"][1].mean(-1).repeat(2, 0).repeat(2, 1)
    np.testing.assert_allclose(heat.get_array(), expected, rtol=1e-6)
    assert heat.get_alpha() == 0.3
    assert bar_label_of(figure) == "mean activation over channels"
    assert heat.get_clim() == pytest.approx((expected.min(), expected.max()))


def test_one_channel_of_channels_first_over_a_given_input(recording):
    photograph = random.integers(0, 256, (24, 28, 3)).astype(np.uint8)
    photograph[0, 0] = 255
    before = photograph.copy()
    figure = render.heatmap(
        recording["first"], input=photograph, channel=2, interpolation="nearest"
    )
    picture, heat = figure.axes[0].images
    np.testing.assert_allclose(picture.get_array()[..., :3], photograph / 255, atol=1e-6)
    np.testing.assert_array_equal(heat.get_array(), ARRAYS["first"][0, 2].repeat(4, 0).repeat(4, 1))
    assert bar_label_of(figure) == "activation of channel 2"
    assert "channel 2 of 3 channels of 6×7" in words_of(figure)[1]
    np.testing.assert_array_equal(photograph, before)


def test_every_channel_beside_the_others(recording):
    figure = render.heatmap(recording["conv"], merge=None, interpolation="nearest")
    assert_nothing_cut_off(figure)
    picture, heat = figure.axes[0].images
    assert picture.get_array().shape[:2] == heat.get_array().shape
    values = np.ma.filled(heat.get_array(), np.nan)
    np.testing.assert_array_equal(
        values[:12, :14], ARRAYS["conv"][0, ..., 0].repeat(2, 0).repeat(2, 1)
    )
    np.testing.assert_array_equal(
        values[-12:, -14:], ARRAYS["conv"][0, ..., 3].repeat(2, 0).repeat(2, 1)
    )
    assert (np.isnan(values) == (picture.get_array()[..., 3] == 0)).all()


def test_tokens_over_an_image_leave_the_class_token_out(recording):
    figure = render.heatmap(recording["tokens"], merge="max", interpolation="nearest")
    assert "class token left out" in words_of(figure)[1]
    heat = figure.axes[0].images[1].get_array()
    expected = ARRAYS["tokens"][0, 1:].max(-1).reshape(4, 4)
    np.testing.assert_array_equal(heat[1::3, 1::4][:, [0, 1, 2, 3]], expected)


@pytest.mark.parametrize("features", [None, 1, 3])
def test_tokens_over_a_series_are_a_strip_behind_it(recording, features):
    series = random.normal(size=(34,) if features is None else (34, features))
    figure = render.heatmap(recording["tokens"], input=series, interpolation="nearest")
    assert_nothing_cut_off(figure)
    axes = figure.axes[0]
    expected = ARRAYS["tokens"][0].mean(-1).repeat(2)[np.newaxis]
    np.testing.assert_allclose(image_of(figure), expected, rtol=1e-5)
    curves = np.stack([line.get_ydata() for line in axes.lines], axis=1)
    np.testing.assert_array_equal(curves, series.reshape(34, -1))
    left, right, bottom, top = axes.images[0].get_extent()
    assert (left, right) == (-0.5, 33.5)
    assert bottom < series.min() < series.max() < top


def test_a_strip_for_each_channel(recording):
    figure = render.heatmap(
        recording["tokens"], input=np.arange(17.0), merge=None, interpolation="nearest"
    )
    np.testing.assert_array_equal(image_of(figure), ARRAYS["tokens"][0].T)
    assert "one strip for each channel" in words_of(figure)[1]


def test_the_first_stored_input_that_is_an_image_is_taken(tmp_path):
    vector = random.random((5, 9)).astype(np.float32)
    opened = write(tmp_path / "two.h5", inputs=(vector, IMAGES), ids=False)
    figure = render.heatmap(opened["conv"])
    assert figure.axes[0].images[0].get_array().shape == (12, 14, 4)
    with pytest.raises(RenderError, match="have no ids, give a position from 0 to 4"):
        render.grid(opened["conv"], "digit-0")


def test_without_stored_inputs_the_remedy_is_named(tmp_path):
    opened = write(tmp_path / "none.h5", inputs=())
    with pytest.raises(RenderError, match=r"store_inputs=True \(--store-inputs\).*input="):
        render.heatmap(opened["conv"])
    assert render.heatmap(opened["conv"], input=IMAGES[0]).axes


def test_large_inputs_are_made_smaller_for_many_channels():
    figure = render.heatmap(
        random.random((1, 4, 4, 30)), input=random.random((900, 900)), merge=None
    )
    assert max(figure.axes[0].images[0].get_array().shape) < 2600


# ---- figures and files


def test_a_given_figure_or_part_of_one_is_drawn_on(recording):
    figure = Figure((5, 4))
    assert render.grid(recording["conv"], figure=figure) is figure
    assert_nothing_cut_off(figure)
    whole = Figure((10, 4), layout="constrained")
    left, right = whole.subfigures(1, 2)
    assert render.grid(recording["conv"], figure=left) is whole
    assert render.vector(recording["dense"], figure=right) is whole
    drawn(whole)
    assert len(left.axes) == len(right.axes) == 1
    assert tuple(whole.get_size_inches()) == (10, 4)


def test_a_picture_takes_the_place_of_empty_axes(recording):
    figure = Figure((9, 8))
    (left, right), (below, own) = figure.subplots(2, 2)
    own.plot([1, 3, 2])
    place = own.get_position()
    for axes, draw, layer in (
        (left, render.grid, recording["conv"]),
        (right, render.heatmap, recording["conv"]),
        (below, render.vector, recording["dense"]),
    ):
        assert draw(layer, ax=axes) is figure
    assert len(figure.subfigs) == 3
    assert all(len(part.axes) == 1 for part in figure.subfigs)
    assert_nothing_cut_off(figure)
    boxes = [part.axes[0].get_window_extent() for part in figure.subfigs]
    for box in [*boxes[1:], own.get_window_extent()]:
        assert not box.overlaps(boxes[0])
    assert abs(own.get_position().x0 - place.x0) < 0.2


def test_axes_that_cannot_be_taken_are_left_alone(recording):
    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2])
    for words, message in (
        ({"ax": axes}, "holds data already"),
        ({"ax": axes, "figure": figure}, "not both"),
        ({"ax": figure.add_axes((0, 0, 1, 1))}, "give a subfigure"),
    ):
        with pytest.raises(RenderError, match=message):
            render.grid(recording["conv"], **words)
    axes.clear()
    with pytest.raises(RenderError, match="no sample"):
        render.grid(recording["conv"], 99, ax=axes)
    assert axes in figure.axes


@pytest.mark.parametrize(
    ("suffix", "start"),
    [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml"), ("JPG", b"\xff\xd8")],
)
def test_files_are_written_in_the_format_of_their_suffix(recording, tmp_path, suffix, start):
    path = tmp_path / f"picture.{suffix}"
    path.write_bytes(b"old")
    render.save(render.vector(recording["dense"]), str(path))
    assert path.read_bytes().startswith(start)
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_stays_where_writing_fails(recording, tmp_path, monkeypatch):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    figure = render.vector(recording["dense"])

    def fail(image, target, **options):
        target.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        render.save(figure, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["picture", "picture.bmp", "picture.h5"])
def test_other_suffixes_are_refused(recording, tmp_path, name):
    with pytest.raises(RenderError, match=r"must be one of \.jpg, \.pdf, \.png, \.svg"):
        render.save(render.vector(recording["dense"]), tmp_path / name)


def test_a_missing_folder_is_named(recording, tmp_path):
    with pytest.raises(MissingFileError, match="nowhere does not exist"):
        render.save(render.vector(recording["dense"]), tmp_path / "nowhere" / "picture.png")


def test_drawing_needs_neither_pyplot_nor_settings_of_matplotlib(tmp_path):
    program = f"""
import sys
import numpy as np, matplotlib
from actscope import render
before = dict(dict.items(matplotlib.rcParams))
values = np.arange(96.0).reshape(2, 4, 4, 3)
render.save(render.grid(values), {str(tmp_path / "a.png")!r})
render.save(render.heatmap(values, input=values[0]), {str(tmp_path / "b.pdf")!r})
assert dict(dict.items(matplotlib.rcParams)) == before
print([name for name in sys.modules if name == "matplotlib.pyplot" or name.split(".")[0] in
       ("keras", "tensorflow", "torch", "jax")])
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_the_users_settings_of_matplotlib_do_not_turn_a_map_around(recording):
    import matplotlib

    with matplotlib.rc_context({"image.origin": "lower", "axes.grid": True, "text.usetex": False}):
        figure = render.grid(recording["conv"])
        drawn(figure)
    assert figure.axes[0].images[0].origin == "upper"
    assert not any(line.get_visible() for line in figure.axes[0].get_xgridlines())
