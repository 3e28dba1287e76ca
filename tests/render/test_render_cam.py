import numpy as np
import pytest

from actscope import render
from actscope.errors import RenderError
from actscope.render.cam import grad_cam, grad_cam_plus_plus, hirescam
from actscope.store import schema
from actscope.store.reader import open_recording
from actscope.store.writer import Writer
from recordings import output_info

random = np.random.default_rng(0)
OUTPUTS = random.normal(size=(4, 5, 6, 3)).astype(np.float32)
SLOPES = random.normal(size=(4, 5, 6, 3)).astype(np.float32)
TOKENS = random.normal(size=(2, 4, 10, 3)).astype(np.float32)
IMAGES = random.random((4, 10, 12, 1)).astype(np.float32)


def by_hand(method, outputs, slopes):
    """Position by position, for `(channels, height, width)`."""
    channels, height, width = outputs.shape
    places = [(y, x) for y in range(height) for x in range(width)]
    found = np.zeros((height, width))
    for k in range(channels):
        a, g = outputs[k].astype(float), slopes[k].astype(float)
        if method == "grad-cam":
            weight = sum(g[place] for place in places) / len(places)
        elif method == "grad-cam++":
            weight = 0.0
            for place in places:
                below = 2 * g[place] ** 2 + g[place] ** 3 * sum(a[other] for other in places)
                share = g[place] ** 2 / below if below else 0.0
                weight += share * max(0.0, g[place])
        for place in places:
            found[place] += a[place] * (g[place] if method == "hirescam" else weight)
    return found if method == "hirescam" else found.clip(0)


@pytest.mark.parametrize(
    ("method", "function"),
    [("grad-cam", grad_cam), ("grad-cam++", grad_cam_plus_plus), ("hirescam", hirescam)],
)
def test_the_maps_are_those_computed_by_hand(method, function):
    outputs, slopes = np.moveaxis(OUTPUTS[0], -1, 0), np.moveaxis(SLOPES[0], -1, 0).copy()
    slopes[1] = 0
    np.testing.assert_allclose(
        function(outputs, slopes), by_hand(method, outputs, slopes), rtol=1e-9, atol=1e-12
    )


def test_before_a_linear_layer_hirescam_sums_up_to_the_logit_without_its_bias():
    outputs, weights = random.normal(size=(3, 5, 6)), random.normal(size=(3, 5, 6))
    assert hirescam(outputs, weights).sum() == pytest.approx((outputs * weights).sum())


def test_after_global_average_pooling_grad_cam_is_cam():
    outputs, weights = random.normal(size=(3, 5, 6)), random.normal(size=3)
    slopes = np.broadcast_to(weights[:, None, None] / 30, outputs.shape)
    expected = np.tensordot(weights, outputs, 1).clip(0) / 30
    np.testing.assert_allclose(grad_cam(outputs, slopes), expected)


def write(path, *, gradients=True):
    first = {"axes": ("channel", "y", "x"), "data_format": "channels_first"}
    layers = [
        ("last", OUTPUTS, SLOPES, {}),
        ("first", np.moveaxis(OUTPUTS, -1, 1), np.moveaxis(SLOPES, -1, 1), first),
        ("tokens", TOKENS[0], TOKENS[1], {}),
    ]
    outputs, rows = [], []
    for order, (name, output, slope, words) in enumerate(layers):
        outputs.append(output_info(name, output.shape[1:], order, **words))
        rows.append(np.ascontiguousarray(output))
        if gradients:
            outputs.append(output_info(name, output.shape[1:], order, is_gradient=True, **words))
            rows.append(np.ascontiguousarray(slope))
    tensors, groups = schema.plan_layers(outputs)
    inputs = schema.plan_inputs(["image"], [IMAGES.shape[1:]], ["float32"])
    plan = schema.RecordingPlan(4, (*inputs, *tensors), groups, '{"gradients": "predicted"}')
    with Writer(path, plan) as writer:
        writer.append([IMAGES, *rows])
        writer.commit()
    return open_recording(path)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return write(tmp_path_factory.mktemp("cam") / "run.h5")


@pytest.mark.parametrize("method", ["grad-cam", "grad-cam++", "hirescam"])
@pytest.mark.parametrize("layer", ["last", "first"])
def test_they_are_drawn_over_the_input_wherever_the_channels_are(recording, method, layer):
    figure = render.heatmap(recording[layer], 2, method=method, interpolation="nearest")
    drawn = figure.axes[0].images[1].get_array()
    expected = by_hand(method, np.moveaxis(OUTPUTS[2], -1, 0), np.moveaxis(SLOPES[2], -1, 0))
    np.testing.assert_allclose(drawn[::2, ::2], expected, rtol=1e-4, atol=1e-5)
    label = figure.axes[0].child_axes[0].get_ylabel()
    assert label.lower() == f"{method} of the predicted class"


def test_tokens_are_a_square_without_their_class_token(recording):
    figure = render.heatmap(recording["tokens"], 1, method="hirescam", interpolation="nearest")
    expected = (TOKENS[0, 1, 1:] * TOKENS[1, 1, 1:]).sum(-1).reshape(3, 3)
    drawn = figure.axes[0].images[1].get_array()
    np.testing.assert_allclose(drawn[[0, 4, 8]][:, [0, 5, 10]], expected, rtol=1e-5)


def test_without_gradients_the_remedy_is_named(tmp_path):
    recording = write(tmp_path / "none.h5", gradients=False)
    for layer in (recording["last"], OUTPUTS):
        with pytest.raises(RenderError, match="extract with gradients='predicted'"):
            render.heatmap(layer, method="grad-cam", input=IMAGES[0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"method": "gradcam"}, "no method 'gradcam': did you mean 'grad-cam'"),
        ({"method": "grad-cam", "channel": 1}, "weights all channels itself"),
        ({"method": "hirescam", "merge": "max"}, "weights all channels itself"),
    ],
)
def test_what_makes_no_sense_is_refused(recording, words, message):
    with pytest.raises(RenderError, match=message):
        render.heatmap(recording["last"], **words)
