"""What is stored of the selected layers: which reductions, in which dtype, and which gradients."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from actscope.axes import shape_text
from actscope.errors import GradientError, ReductionError, UnknownLayerError, nearest
from actscope.protocol import LayerInfo, OutputInfo, Wanted
from actscope.reduction import MASKED_MEAN, NONE, Reduction, fits, parse, reduced
from actscope.selection import matches

Reductions = str | Sequence[str] | Mapping[str, str | Sequence[str]] | None

CASTS = ("float16", "bfloat16", "float32")
FLOATS = ("float16", "bfloat16", "float32", "float64")


def plan_wanted(
    layers: Sequence[LayerInfo],
    *,
    reduce: Reductions = None,
    dtype: str | None = None,
    gradients: bool = False,
    input_shapes: Mapping[str, tuple[int, ...]] | None = None,
) -> list[Wanted]:
    """Every tensor to compute and store, in the order of execution.

    Args:
        layers: the selected ones.
        reduce: one reduction or several for all outputs that they fit, the others being stored
            whole; or by globs over layer paths, where each must fit all that its glob names.
        dtype: what floating-point values are cast to; None leaves them as they are.
        gradients: whether the gradients with respect to the outputs are wanted too.
        input_shapes: the shape of one sample of each of the model's inputs, by name.

    Raises:
        ReductionError: a reduction is malformed, or does not fit.
        UnknownLayerError: a glob of `reduce` matches no selected layer.
        GradientError: no output that gradients exist for was selected.
    """
    if dtype is not None and dtype not in CASTS:
        raise ReductionError(f"dtype={dtype!r}: choose one of {', '.join(CASTS)}")
    outputs = [output for layer in layers for output in layer.outputs]
    outputs.sort(key=lambda output: output.order)
    asked = _reductions_by_path(outputs, reduce)
    _check_masks(outputs, asked, input_shapes or {})
    wanted = [
        Wanted(output, _cast(reduced(output, reduction), dtype))
        for output in outputs
        for reduction in asked[output.path]
    ]
    return _with_gradients(wanted) if gradients else wanted


def _cast(output: OutputInfo, dtype: str | None) -> OutputInfo:
    return replace(output, dtype=dtype) if dtype and output.dtype in FLOATS else output


def _with_gradients(wanted: Sequence[Wanted]) -> list[Wanted]:
    """Each tensor with its gradient behind it, where it is one that gradients exist for."""
    if all(tensor.source.dtype not in FLOATS for tensor in wanted):
        raise GradientError(
            "gradients= was asked for, but no selected layer has floating-point outputs: "
            "gradients exist for those alone"
        )
    both: list[Wanted] = []
    for tensor in wanted:
        both.append(tensor)
        if tensor.source.dtype in FLOATS:
            both.append(replace(tensor, stored=replace(tensor.stored, is_gradient=True)))
    return both


def _reductions_by_path(
    outputs: Sequence[OutputInfo], reduce: Reductions
) -> dict[str, list[Reduction]]:
    if isinstance(reduce, Mapping):
        return _by_glob(outputs, reduce)
    reductions = _parsed(NONE if reduce is None else reduce)
    for reduction in reductions:
        if not any(fits(output, reduction) for output in outputs):
            reduced(outputs[0], reduction)  # says why it fits none, by the example of the first
    return {output.path: _fitting(outputs, output.path, reductions) for output in outputs}


def _fitting(
    outputs: Sequence[OutputInfo], path: str, reductions: Sequence[Reduction]
) -> list[Reduction]:
    """Those that fit every output of a layer; to be stored whole where none does."""
    own = [output for output in outputs if output.path == path]
    fitting = [one for one in reductions if all(fits(output, one) for output in own)]
    return fitting or [Reduction(NONE)]


def _by_glob(
    outputs: Sequence[OutputInfo], reduce: Mapping[str, str | Sequence[str]]
) -> dict[str, list[Reduction]]:
    asked: dict[str, list[Reduction]] = {output.path: [] for output in outputs}
    for pattern, texts in reduce.items():
        paths = [path for path in asked if matches(pattern, path)]
        if not paths:
            raise UnknownLayerError(
                f"reduce={{{pattern!r}: ...}} matches no selected layer: {nearest(pattern, asked)}"
            )
        for path in paths:
            asked[path] += [one for one in _parsed(texts) if one not in asked[path]]
    return {path: reductions or [Reduction(NONE)] for path, reductions in asked.items()}


def _parsed(texts: str | Sequence[str]) -> list[Reduction]:
    parsed = [parse(text) for text in ([texts] if isinstance(texts, str) else texts)]
    if not parsed:
        raise ReductionError("reduce=[] names no reduction: write 'none' for whole outputs")
    return list(dict.fromkeys(parsed))


def _check_masks(
    outputs: Sequence[OutputInfo],
    asked: Mapping[str, Sequence[Reduction]],
    input_shapes: Mapping[str, tuple[int, ...]],
) -> None:
    for output in outputs:
        for reduction in asked[output.path]:
            if reduction.name == MASKED_MEAN:
                _check_mask(output, reduction, input_shapes)


def _check_mask(
    output: OutputInfo, reduction: Reduction, input_shapes: Mapping[str, tuple[int, ...]]
) -> None:
    if not reduction.argument:
        if not output.has_mask:
            raise ReductionError(
                f"{output.path!r} returns no mask: name an input that says which tokens count, "
                f"as in 'masked_mean:padding_mask' ({nearest('mask', input_shapes)})"
            )
        return
    if reduction.argument not in input_shapes:
        raise ReductionError(
            f"{reduction.text!r}: the model has no input {reduction.argument!r}: "
            f"{nearest(reduction.argument, input_shapes)}"
        )
    tokens = dict(zip(output.axes, output.shape, strict=True)).get("token")
    if input_shapes[reduction.argument] != (tokens,):
        raise ReductionError(
            f"{reduction.text!r}: the input has shape "
            f"{shape_text(input_shapes[reduction.argument])}, and {output.path!r} {tokens} tokens"
        )
