"""The number per sample whose gradients are asked for, computed from a model's outputs."""

from typing import Any

import keras
import numpy as np

from actscope.axes import shape_text
from actscope.errors import ActscopeError, GradientError, first_line
from actscope.protocol import Inputs, Objective, OutputInfo
from actscope_keras.capture import Capture


def check(objective: Objective, model: Any, outputs: tuple[OutputInfo, ...]) -> None:
    """Refuse an objective that the model has not.

    Args:
        objective: what was asked for.
        model: the model.
        outputs: what the model was seen to return.

    Raises:
        GradientError: it has no loss, no one output of classes, or fewer classes.
    """
    if objective.kind == "loss":
        check_loss(model)
    if objective.kind == "class":
        _check_classes(objective, outputs)


def check_loss(model: Any) -> None:
    """Refuse a model that was not compiled with a loss."""
    if getattr(model, "_compile_loss", None) is None:
        raise GradientError(
            f"the model {model.name!r} has no loss: compile it with one, as in "
            "model.compile(loss='sparse_categorical_crossentropy'), or pass a function"
        )


def _check_classes(objective: Objective, outputs: tuple[OutputInfo, ...]) -> None:
    if len(outputs) != 1 or not outputs[0].shape:
        shapes = ", ".join(shape_text(output.shape) for output in outputs)
        raise GradientError(
            f"the model's outputs ({shapes or 'none'}) are not one output of classes: pass "
            "gradients= a function of its outputs that returns one number per sample"
        )
    count = outputs[0].shape[-1]
    classes = objective.targets.arrays[0] if objective.targets else np.zeros(1, np.int32)
    wrong = classes[(classes < 0) | (classes >= count)]
    if len(wrong):
        raise GradientError(
            f"gradients= asks for the class {int(wrong[0])}: the model has the classes 0 to "
            f"{count - 1}"
        )


def value_of(
    objective: Objective,
    model: Any,
    inputs: Any,
    outputs: Any,
    targets: list[Any],
    capture: Capture,
) -> Any:
    """The sum over the batch of one number per sample, as a scalar tensor.

    Since no sample's number depends on another's, its gradients are each sample's own.

    Args:
        objective: what to compute.
        model: the model.
        inputs: what it was called with.
        outputs: what it returned, as its structure has it.
        targets: the batch's targets, flat.
        capture: knows the logits behind a softmax or sigmoid.
    """
    try:
        if objective.kind == "class":
            return _logit(keras.tree.flatten(outputs)[0], targets, capture)
        given = packed(objective.targets, targets)
        if objective.kind == "loss":
            return _summed_loss(model, inputs, outputs, given)
        arguments = (outputs,) if given is None else (outputs, given)
        if objective.function is None:
            raise GradientError("the objective is a function, and there is none")
        return keras.ops.sum(objective.function(*arguments))
    except ActscopeError:
        raise
    except Exception as error:
        name = "the model's loss" if objective.kind == "loss" else "gradients="
        raise GradientError(
            f"{name} cannot be computed: {type(error).__name__}: {first_line(error)}"
        ) from error


def _logit(output: Any, targets: list[Any], capture: Capture) -> Any:
    """The sum of each sample's logit of its class, over all positions where it has several."""
    logits = keras.ops.cast(capture.logits(output), "float32")
    if targets:
        classes = keras.ops.reshape(targets[0], (-1, *[1] * (len(logits.shape) - 2)))
    else:
        classes = keras.ops.argmax(logits, axis=-1)
    chosen = keras.ops.one_hot(classes, logits.shape[-1], dtype="float32")
    return keras.ops.sum(logits * chosen)


def packed(given: Inputs | None, targets: list[Any]) -> Any:
    """Flat targets in the structure in which they were given; None where there are none."""
    if given is None:
        return None
    if given.names:
        return dict(zip(given.names, targets, strict=True))
    return targets[0] if given.single else targets


def _summed_loss(model: Any, inputs: Any, outputs: Any, targets: Any) -> Any:
    """The model's loss, summed over the samples where Keras gives their mean."""
    loss = model._compute_loss(inputs, targets, outputs, None, training=False)
    rows = keras.tree.flatten(outputs)[0].shape[0]
    return loss if _sums(model) else loss * rows


def share_of_loss(model: Any, inputs: Any, targets: Any, share: float) -> Any:
    """What a batch adds to the loss over all samples, regularization included.

    Args:
        model: a compiled model.
        inputs: what the model is called with.
        targets: what its loss compares the outputs with.
        share: the batch's rows as a fraction of all samples.
    """
    outputs = model(inputs, training=False)
    loss = model._compute_loss(inputs, targets, outputs, None, training=False)
    if not _sums(model):
        return loss * share
    regularization = sum(keras.ops.sum(part) for part in model.losses)
    return loss - regularization * (1 - share)


def build_loss(model: Any, outputs: Any, targets: Any) -> None:
    """Have Keras make what the loss needs besides: for several outputs these are variables.

    Args:
        model: a compiled model.
        outputs: arrays in the shapes and the structure that the model returns.
        targets: targets for as many rows.
    """
    if not model._compile_loss.built:
        try:
            model._compile_loss.build(targets, outputs)
        except Exception as error:
            raise GradientError(f"y does not fit the model's loss: {first_line(error)}") from error


def _sums(model: Any) -> bool:
    """Whether the loss adds up the samples instead of averaging them."""
    sums = {getattr(loss, "reduction", None) == "sum" for loss in keras.tree.flatten(model.loss)}
    if len(sums) > 1:
        raise GradientError(
            "some of the model's losses add up the samples and others average them: "
            "pass gradients= a function of its outputs instead"
        )
    return True in sums
