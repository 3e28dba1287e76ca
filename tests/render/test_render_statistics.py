import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from actscope import render
from actscope.errors import RenderError
from actscope.histogram import BINS, EDGES, ZERO_BIN
from actscope.render.depths import linear_below, troubles
from actscope.render.subject import Named
from actscope.render.summary import densities, occupied, stairs, summary_of
from actscope.render.ticks import powers_of_ten
from actscope.store import schema
from actscope.store.reader import open_recording
from actscope.store.writer import Writer
from recordings import output_info

random = np.random.default_rng(0)
NORMAL = random.normal(size=(20, 6, 6, 8))
LAYERS = {
    "conv": NORMAL,
    "relu$^2$": np.maximum(NORMAL, 0) * (np.arange(8) > 1),
    "sigmoid": 1 / (1 + np.exp(-NORMAL)),
    "broken": np.where(NORMAL > 2, np.nan, NORMAL),
    "dead": np.zeros((20, 5)),
    "lost": np.full((20, 5), np.inf),
    "scalar": random.normal(size=20),
}


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("statistics") / "run.h5"
    rows = [values.astype(np.float32) for values in LAYERS.values()]
    outputs = [
        output_info(name, values.shape[1:] or (1,), order)
        for order, (name, values) in enumerate(LAYERS.items())
    ]
    tensors, groups = schema.plan_layers(outputs)
    with Writer(path, schema.RecordingPlan(20, tuple(tensors), groups, "{}")) as writer:
        writer.append([array.reshape(20, -1) if array.ndim == 1 else array for array in rows])
        writer.commit()
    return open_recording(path)


def softmax(values):
    powers = np.exp(values)
    return powers / powers.sum(-1, keepdims=True)


# ---- summaries


@pytest.mark.parametrize("name", ["conv", "relu$^2$", "sigmoid", "broken"])
def test_a_summary_is_that_of_all_values_together(recording, name):
    found, values = summary_of(recording[name]), LAYERS[name].astype(np.float32).astype(np.float64)
    finite = values[np.isfinite(values)]
    assert found.mean == pytest.approx(finite.mean())
    assert found.spread == pytest.approx(finite.std())
    assert (found.minimum, found.maximum) == (finite.min(), finite.max())
    assert found.zeros == pytest.approx((finite == 0).mean())
    assert found.not_finite == values.size - finite.size
    assert found.dead == (0.25 if name == "relu$^2$" else 0)
    assert found.histogram.sum() == np.count_nonzero(finite)


def test_saturation_is_one_less_the_mean_slope_as_a_share_of_the_steepest():
    steep = NORMAL * 3
    bent = np.tanh(steep)
    assert summary_of(bent).saturation == pytest.approx(1 - (1 - bent**2).mean(), rel=1e-5)
    bent = 1 / (1 + np.exp(-steep))
    slopes = bent * (1 - bent)
    assert summary_of(bent).saturation == pytest.approx(1 - slopes.mean() / 0.25, rel=1e-5)


def test_the_saturation_of_probabilities_goes_from_equal_to_certain():
    certain = np.eye(5)[random.integers(0, 5, 100)]
    equal = np.full((100, 5), 0.2) + np.eye(5)[0] * 0
    mixed = softmax(random.normal(size=(100, 5)) * 3)
    assert summary_of(certain).saturation == pytest.approx(1)
    assert np.isnan(summary_of(equal).saturation)  # nothing shows that it is bounded
    expected = ((mixed**2).sum(-1).mean() - 0.2) / 0.8
    assert summary_of(mixed).saturation == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("values", [NORMAL, np.maximum(NORMAL, 0) / 9, np.full((4, 3), np.nan)])
def test_layers_without_bounds_have_no_saturation(values):
    assert np.isnan(summary_of(values).saturation)


def test_one_value_to_a_channel_says_nothing_of_its_death():
    assert np.isnan(summary_of(np.ones((1, 5))).dead)


def test_densities_times_octaves_sum_up_to_what_is_not_zero():
    found = summary_of(np.maximum(NORMAL, 0))
    shown, edges = stairs([found])
    octaves = np.log2(edges[1:] / edges[:-1])
    hidden = found.histogram[: ZERO_BIN + 1].sum() / found.histogram.sum()
    assert (edges > 0).all()
    assert (shown[0] * octaves).sum() == pytest.approx((1 - found.zeros) * (1 - hidden), abs=0.01)


def test_what_is_next_to_zero_is_left_out_up_to_a_hundredth():
    found = summary_of(NORMAL)
    first, last, joined = occupied([found])
    assert EDGES[first] <= np.float32(NORMAL.min()) < EDGES[first + 1]
    assert EDGES[last] <= np.float32(NORMAL.max()) < EDGES[last + 1]
    near = (np.abs(NORMAL) < EDGES[ZERO_BIN + 1 + joined]).mean()
    farther = (np.abs(NORMAL) < EDGES[ZERO_BIN + 2 + joined]).mean()
    assert near <= 0.01 < farther
    shown, edges = stairs([found])
    assert np.isnan(shown[0]).sum() == 1
    assert len(edges) == shown.shape[1] + 1
    assert densities(found).shape == (BINS,)


@pytest.mark.parametrize(
    "values",
    [-np.abs(NORMAL), NORMAL * 1e30, NORMAL * 1e-30, np.zeros((3, 2)), np.full((3, 2), np.nan)],
)
def test_any_values_have_edges_that_can_be_drawn(values):
    _, edges = stairs([summary_of(values)])
    assert np.isfinite(edges).all()
    assert (np.diff(edges) > 0).all()
    drawn(render.histogram(values))


def test_troubles_are_named(recording):
    found = [summary_of(layer) for layer in recording.values()]
    assert troubles(found) == [
        "NaN or infinities in 2 layers, the first broken",
        "dead in 1 layer, the first dead",
    ]
    assert troubles(found[:3]) == []


def test_the_axis_is_logarithmic_where_layers_differ_much():
    ones = np.ones(3)
    assert linear_below(ones, 2 * ones) is None
    assert linear_below(np.array([1.0, 10, 1000]), np.array([2.0, 20, 2000])) == 10
    assert linear_below(np.array([np.nan, 0.0]), np.array([np.nan, 0.0])) is None
    assert linear_below(np.array([40.0, 50, 0.1]), np.array([100.0, 120, 1])) is None


def test_few_powers_of_ten():
    assert powers_of_ten(0.02, 150) == [0.1, 1, 10, 100]
    assert powers_of_ten(1e-9, 1) == pytest.approx([1e-9, 1e-6, 1e-3, 1])
    assert powers_of_ten(1, 0.5) == []


# ---- pictures


def drawn(figure):
    FigureCanvasAgg(figure).draw()
    return figure.axes[0]


def assert_nothing_cut_off(figure):
    drawn(figure)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes in figure.axes:
        for artist in (axes, *axes.texts):
            box = artist.get_tightbbox(renderer)
            assert min(box.x0, box.y0) >= -0.5
            assert box.x1 <= figure.bbox.width + 0.5
            assert box.y1 <= figure.bbox.height + 0.5


def test_the_distribution_of_a_layer(recording):
    figure = render.histogram(recording["relu$^2$"])
    assert_nothing_cut_off(figure)
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "relu$^2$"
    zeros = 100 * (LAYERS["relu$^2$"] == 0).mean()
    assert f"{zeros:.1f} % zeros" in axes.texts[-1].get_text()
    assert axes.get_xlabel() == "activation"
    expected, edges = stairs([summary_of(recording["relu$^2$"])])
    values, shown_edges, _ = axes.patches[-1].get_data()
    np.testing.assert_array_equal(values, expected[0])
    np.testing.assert_array_equal(shown_edges, edges)


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_has_a_picture(recording, name):
    assert_nothing_cut_off(render.histogram(recording[name]))


def test_the_distributions_of_all_layers_are_ridges(recording):
    figure = render.histogram(recording)
    assert_nothing_cut_off(figure)
    axes = figure.axes[0]
    assert [text.get_text() for text in axes.get_yticklabels()] == list(LAYERS)
    beside = [text.get_text() for text in axes.texts[:-1]]
    assert beside[4] == "100.0 % zeros"
    assert beside[5] == "100 NaN or infinite"
    assert axes.texts[-1].get_text() == "7 layers of 20 samples"


def test_the_course_through_the_depth(recording):
    figure = render.statistics(recording)
    assert_nothing_cut_off(figure)
    above, below = figure.axes
    means = [values[np.isfinite(values)] for values in LAYERS.values()]
    expected = [values.mean() if values.size else np.nan for values in means]
    np.testing.assert_allclose(above.lines[0].get_ydata(), expected, rtol=1e-5, atol=1e-7)
    np.testing.assert_array_equal(above.lines[2].get_xdata(), [3, 5])
    shares = {line.get_label(): line.get_ydata() for line in below.lines}
    np.testing.assert_array_equal(shares["dead channels"], [0, 0.25, 0, 0, 1, np.nan, 0])
    assert np.flatnonzero(~np.isnan(shares["saturation"])).tolist() == [2]
    assert [text.get_text() for text in below.get_xticklabels()] == list(LAYERS)


def test_they_are_drawn_on_a_given_figure_and_take_arrays(recording):
    whole = Figure((9, 4), layout="constrained")
    left, right = whole.subfigures(1, 2)
    assert render.statistics(recording, figure=left) is whole
    assert render.histogram(Named(NORMAL, "own"), figure=right) is whole
    assert right.axes[0].get_title(loc="left") == "own"
    drawn(whole)


@pytest.mark.parametrize("values", [np.array(["a"]), 3.0])
def test_what_has_no_distribution_is_refused(values):
    with pytest.raises(RenderError):
        render.histogram(values)
