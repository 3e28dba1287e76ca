"""Computes class activation maps from a layer's output and its recorded gradient. Pure."""

from collections.abc import Callable

import numpy as np

from actscope.errors import RenderError, nearest
from actscope.render.heat import Heat
from actscope.render.layout import Maps, arrange
from actscope.render.subject import Layer, Subject, Values, as_numbers
from actscope.render.words import maps_words
from actscope.store.reader import RecordedLayer


def grad_cam(outputs: Values, slopes: Values) -> Values:
    """Grad-CAM: channels weighted with the mean of their gradient, what counts for the objective.

    `max(0, sum_k a_k A_k)` with `a_k` the mean over all positions of the gradient of channel `k`:
    equations 1 and 2 of Selvaraju et al., Grad-CAM: Visual Explanations from Deep Networks via
    Gradient-based Localization, ICCV 2017.

    Args:
        outputs: `A`, what a layer put out for one sample, `(channels, height, width)`.
        slopes: the gradient of the objective with respect to `A`, of the same shape.

    Returns:
        The map, `(height, width)` float64, in units of the objective.
    """
    wide, gradient = outputs.astype(np.float64), slopes.astype(np.float64)
    weights = gradient.mean(axis=(1, 2), keepdims=True)
    return np.asarray(np.maximum((weights * wide).sum(axis=0), 0))


def grad_cam_plus_plus(outputs: Values, slopes: Values) -> Values:
    """Grad-CAM++: positions with a gradient above zero, weighted so that small parts count too.

    With `g` the gradient, `a = g^2 / (2 g^2 + g^3 sum A)`, the sum over the positions of a channel,
    and `w_k` the sum over positions of `a max(0, g)`, the map is `max(0, sum_k w_k A_k)`: of
    Chattopadhay et al., Grad-CAM++: Improved Visual Explanations for Deep
    Convolutional Networks, WACV 2018, for the exponential of the objective, whose own factor is
    left out: it is the same everywhere. Where the denominator is 0, `a` is 0.

    Args:
        outputs: `A`, what a layer put out for one sample, `(channels, height, width)`.
        slopes: the gradient of the objective with respect to `A`, of the same shape.

    Returns:
        The map, `(height, width)` float64, up to a factor that differs between samples.
    """
    wide, gradient = outputs.astype(np.float64), slopes.astype(np.float64)
    square = gradient**2
    total = wide.sum(axis=(1, 2), keepdims=True)
    denominator = 2 * square + gradient * square * total
    shares = np.divide(square, denominator, out=np.zeros_like(square), where=denominator != 0)
    weights = (shares * np.maximum(gradient, 0)).sum(axis=(1, 2), keepdims=True)
    return np.asarray(np.maximum((weights * wide).sum(axis=0), 0))


def hirescam(outputs: Values, slopes: Values) -> Values:
    """HiResCAM: gradient times output at every position, summed over the channels.

    `sum_k g_k A_k`, of Draelos and Carin, Use HiResCAM instead of Grad-CAM for faithful
    explanations of convolutional neural networks, arXiv 2011.08891. Nothing is cut off: what is
    below zero counts against the objective. Where one linear layer follows, the map sums up to the
    objective without the bias.

    Args:
        outputs: `A`, what a layer put out for one sample, `(channels, height, width)`.
        slopes: the gradient of the objective with respect to `A`, of the same shape.

    Returns:
        The map, `(height, width)` float64, in units of the objective.
    """
    products: Values = outputs.astype(np.float64) * slopes.astype(np.float64)
    return np.asarray(products.sum(axis=0))


_MAPS: dict[str, tuple[str, Callable[[Values, Values], Values]]] = {
    "grad-cam": ("Grad-CAM", grad_cam),
    "grad-cam++": ("Grad-CAM++", grad_cam_plus_plus),
    "hirescam": ("HiResCAM", hirescam),
}

METHODS = ("activation", *_MAPS)
"""What `render.heatmap` draws: the activation itself, or a map computed with its gradient."""


def check_method(method: str, merge: str | None, channel: int | None) -> None:
    """Refuse methods that do not exist, and choices of channels for those that take them all.

    Raises:
        RenderError: there is no such method, or it leaves nothing to choose.
    """
    if method not in METHODS:
        raise RenderError(f"no method {method!r}: {nearest(str(method), METHODS)}")
    if method in _MAPS and (channel is not None or merge != "mean"):
        raise RenderError(
            f"{_MAPS[method][0]} weights all channels itself: leave out channel= and merge= "
            "(--channel, --merge)"
        )


def slopes_of(layer: Layer, subject: Subject, method: str) -> Maps | None:
    """The recorded gradient of the sample as maps; None where the method needs none.

    Raises:
        RenderError: the method needs it and it was not recorded.
    """
    if method not in _MAPS:
        return None
    gradient = None
    if isinstance(layer, RecordedLayer) and not layer.is_gradient:
        gradient = layer.gradient
    if gradient is None:
        raise RenderError(
            f"{_MAPS[method][0]} needs the gradient of {subject.name or 'the array'!r}, which was "
            "not recorded: extract with gradients='predicted' (--gradients predicted)"
        )
    return arrange(as_numbers(gradient[subject.position], gradient.name), gradient.dims[1:])


def class_activation(maps: Maps, slopes: Maps, method: str, objective: str) -> Heat:
    """The map of a method of `METHODS`, from an output and its gradient in the same arrangement."""
    name, function = _MAPS[method]
    with np.errstate(invalid="ignore", over="ignore"):
        computed = function(maps.tiles, slopes.tiles)
    label = f"{name} of {objective}" if objective else name
    return Heat(computed[np.newaxis], label, maps_words(maps, len(maps.values)))


def objective_of(layer: Layer) -> str:
    """What the recorded gradients are of, such as `"the predicted class"`; empty if not known."""
    given = layer.recording.provenance.get("gradients") if isinstance(layer, RecordedLayer) else ""
    if isinstance(given, int):
        return f"class {given}"
    return {"predicted": "the predicted class", "loss": "the loss"}.get(str(given), "")
