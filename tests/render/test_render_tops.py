import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from actscope import render
from actscope.errors import RenderError
from actscope.store import schema
from actscope.store.reader import open_recording
from actscope.store.writer import Writer
from recordings import output_info
from rendered import assert_nothing_cut_off

random = np.random.default_rng(0)
IMAGES = random.random((12, 10, 12, 1)).astype(np.float32)
LAYERS = {
    "conv": (random.normal(size=(12, 5, 6, 4)), None),
    "first": (random.normal(size=(12, 4, 5, 6)), ("channel", "y", "x")),
    "tokens": (random.normal(size=(12, 10, 4)), None),
    "dense": (random.normal(size=(12, 4)), None),
    "attention": (random.random((12, 4, 6, 6)), ("head", "query", "key")),
    "odd": (random.normal(size=(12, 7, 4)), None),
    "lost": (np.full((12, 4), np.nan), None),
}


def write(path, *, inputs=IMAGES, samples=12, named=True):
    rows = [values[:samples].astype(np.float32) for values, _ in LAYERS.values()]
    outputs = [
        output_info(name, values.shape[1:], order, axes=axes)
        for order, (name, (values, axes)) in enumerate(LAYERS.items())
    ]
    tensors, groups = schema.plan_layers(outputs)
    stored = [] if inputs is None else [inputs[:samples]]
    planned = schema.plan_inputs(
        ["image"] * len(stored), [array.shape[1:] for array in stored], ["float32"] * len(stored)
    )
    ids = tuple(f"$odd_{number}$" for number in range(samples)) if named else ()
    labels = np.arange(samples) * 11 if named else None
    plan = schema.RecordingPlan(samples, (*planned, *tensors), groups, "{}", ids, labels)
    with Writer(path, plan) as writer:
        writer.append([*stored, *rows])
        writer.commit()
    return open_recording(path)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return write(tmp_path_factory.mktemp("top") / "run.h5")


def strongest(name, channel):
    values, axes = LAYERS[name]
    values = values.astype(np.float32)
    axis = 1 if axes else values.ndim - 1
    maxima = np.moveaxis(values, axis, 1).reshape(12, values.shape[axis], -1).max(-1)[:, channel]
    order = np.argsort(-maxima)[:9]
    return order, maxima[order]


@pytest.mark.parametrize("name", ["conv", "first", "tokens", "dense", "attention", "odd"])
def test_the_strongest_samples_stand_first(recording, name):
    figure = render.top(recording[name], 2)
    assert_nothing_cut_off(figure)
    order, maxima = strongest(name, 2)
    words = [text.get_text().split("\n") for text in figure.axes[0].texts[:9]]
    assert [value for value, *_ in words] == [f"{value:.3g}" for value in maxima]
    assert [who for _, *who in words] == [[f"$odd_{row}$", f"label {row * 11}"] for row in order]
    overlaid = name in ("conv", "first", "tokens")
    images = figure.axes[0].images
    pictures = images[:: 2 if overlaid else 1]
    assert len(images) == (18 if overlaid else 9)
    for row, picture in zip(order, pictures, strict=True):
        np.testing.assert_allclose(picture.get_array()[..., 0], IMAGES[row, ..., 0], atol=1e-6)


def test_the_activation_is_laid_over_them_on_one_scale(recording):
    figure = render.top(recording["conv"], -1, alpha=0.3)
    order, _ = strongest("conv", 3)
    heats = figure.axes[0].images[1::2]
    held = LAYERS["conv"][0][order, ..., 3]
    for heat, expected in zip(heats, held, strict=True):
        middle = np.ma.filled(heat.get_array(), np.nan).reshape(5, 2, 6, 2).mean((1, 3))
        assert np.corrcoef(middle.ravel(), expected.ravel())[0, 1] > 0.9
        assert heat.get_alpha() == 0.3
    assert len({heat.get_clim() for heat in heats}) == 1


def test_several_channels_have_a_row_each(recording):
    figure = render.top(recording["conv"], channels=[0, 3])
    assert_nothing_cut_off(figure)
    labels = [axes.get_ylabel() for axes in figure.axes[0].child_axes]
    assert labels == ["channel 0", "channel 3"]
    values = [text.get_text().split("\n")[0] for text in figure.axes[0].texts[9:18]]
    assert values == [f"{value:.3g}" for value in strongest("conv", 3)[1]]


def test_fewer_samples_make_fewer_tiles_and_figures_are_taken(tmp_path):
    few = write(tmp_path / "few.h5", samples=2, named=False)
    whole = Figure((6, 3), layout="constrained")
    assert render.top(few["dense"], channels=[0, 1], figure=whole) is whole
    assert [text.get_text().split("\n")[1] for text in whole.axes[0].texts[:2]] in (
        ["sample 0", "sample 1"],
        ["sample 1", "sample 0"],
    )
    FigureCanvasAgg(whole).draw()


def test_without_inputs_the_remedy_is_named(tmp_path):
    with pytest.raises(RenderError, match=r"holds no inputs.*store_inputs=True"):
        render.top(write(tmp_path / "none.h5", inputs=None)["conv"])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda r: render.top(r["conv"], 4), "no channel 4 of 'conv'"),
        (lambda r: render.top(r["conv"], channels=[]), "channels is empty"),
        (lambda r: render.top(np.ones((3, 2))), "give recording"),
        (lambda r: render.top(r["lost"]), "channel 0 of 'lost' has no finite value"),
        (lambda r: render.top(r["conv"], alpha=-1), "alpha must be from 0 to 1"),
        (lambda r: render.top(r["conv"], cmap="virids"), "did you mean 'viridis'"),
    ],
)
def test_what_cannot_be_drawn_is_said(recording, call, message):
    with pytest.raises(RenderError, match=message):
        call(recording)
