"""Compares two recordings: differences layer by layer, or how alike different models are."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from actscope.comparing import divergence
from actscope.comparing.differences import Differences, Squares, Yardstick, measure, squares_of
from actscope.comparing.pairing import Pairs, Tensor, pair
from actscope.comparing.precision import coarser, dtype_roundoff, policy_roundoff
from actscope.comparing.result import Comparison, LayerDifference, Origin, WorstElement
from actscope.comparing.samples import SharedSamples, rows_of, shared_samples
from actscope.comparing.similarity import checked_method, similarity_of
from actscope.comparing.tolerance import Tolerance, checked, tolerance_at
from actscope.errors import DataError
from actscope.store.reader import Recording, open_recording


def compare(
    a: str | Path | Recording,
    b: str | Path | Recording,
    *,
    tolerance: Tolerance = None,
    common: bool = False,
    similarity: str | None = None,
) -> Comparison:
    """Compare two recordings of the same samples, layer by layer.

    Recordings of one model (other backend, dtype, device, version or weights) are compared element
    by element, like with like: the same call, tensor, reduction, activation or gradient. Recordings
    that share no layer are those of different models: then, or where `similarity` is given, it is
    measured how alike each pair of layers represents the samples. Rows are read a few MiB at a
    time. NaN beside NaN is equal, NaN beside a number differs, and is counted.

    Args:
        a: the first recording, or its file.
        b: the second one.
        tolerance: by default `tolerance_at`, which grows with depth and with the coarsest dtype
            met so far; or a number, the largest relative difference in every layer; or the format
            that was computed in, such as `"tensorfloat32"`, where that is coarser than the dtypes.
        common: compare what both have where samples, lengths or selections differ.
        similarity: `"cka"`, `"rsa"` or `"svcca"`; `"cka"` where the recordings share no layer.

    Raises:
        DataError: the recordings are not of the same samples or selections, or share nothing.
        ToleranceError: the tolerance is none.
        FormatError: a file is not a recording.
        MissingFileError: a file does not exist.
    """
    tolerance = checked(tolerance)
    method = None if similarity is None else checked_method(similarity)
    with ExitStack() as opened:
        first, second = (_open(recording, opened) for recording in (a, b))
        if method is None and set(first).isdisjoint(second):
            _check_models_differ(first, second)
            method = checked_method("cka")
        if method is not None:
            return _resemblance(first, second, method, common=common)
        return _differences(first, second, tolerance, common=common)


def _open(recording: str | Path | Recording, opened: ExitStack) -> Recording:
    if isinstance(recording, Recording):
        return recording
    return opened.enter_context(open_recording(recording))


def _check_models_differ(a: Recording, b: Recording) -> None:
    weights = origin_of(a).weights
    if weights and weights == origin_of(b).weights:
        raise DataError(
            f"{a.path.name} and {b.path.name} are of the same model but share no layer: record "
            "the same layers of both"
        )


def _resemblance(a: Recording, b: Recording, method: str, *, common: bool) -> Comparison:
    samples = shared_samples(a, b, common=common, same_inputs=False)
    found = similarity_of(a, b, samples, method)
    return Comparison(
        origin_of(a), origin_of(b), len(samples), notes=samples.notes, similarity=found
    )


def _differences(a: Recording, b: Recording, tolerance: Tolerance, *, common: bool) -> Comparison:
    samples = shared_samples(a, b, common=common)
    pairs = pair(a, b, common=common)
    allowed = list(_tolerances(a, b, pairs, tolerance))
    layers = [
        _difference(first, second, samples, limit)
        for (first, second), limit in zip(pairs.both, allowed, strict=True)
    ]
    strains = [layer.strain for layer in layers]
    parting = divergence.first_diverging(strains)
    jumps = divergence.jumps(strains)
    return Comparison(
        origin_of(a),
        origin_of(b),
        len(samples),
        tuple(replace(layer, jump=jump) for layer, jump in zip(layers, jumps, strict=True)),
        pairs.only_a,
        pairs.only_b,
        pairs.not_compared,
        None if parting is None else layers[parting].name,
        samples.notes,
    )


def _tolerances(a: Recording, b: Recording, pairs: Pairs, tolerance: Tolerance) -> Iterator[float]:
    """What rounding allows each pair: what was rounded coarsely stays so in later layers."""
    roundoff = max(policy_roundoff(origin_of(a).policy), policy_roundoff(origin_of(b).policy))
    for first, second in pairs.both:
        for tensor in (first, second):
            roundoff = max(roundoff, dtype_roundoff(tensor.layer.logical_dtype))
        yield tolerance_at(max(first.depth, second.depth), roundoff, tolerance)


def _difference(a: Tensor, b: Tensor, samples: SharedSamples, tolerance: float) -> LayerDifference:
    squares, found = Squares(), Differences()
    for rows, others in samples.blocks(a.layer, b.layer):
        squares += squares_of(rows, others)
    dtypes = (a.layer.logical_dtype, b.layer.logical_dtype)
    yardstick = Yardstick(squares.scale, tolerance, coarser(*dtypes))
    for rows, others in samples.blocks(a.layer, b.layer):
        found += measure(rows, others, yardstick)
    return LayerDifference(
        name=a.name,
        path=a.layer.path,
        class_name=a.layer.class_name,
        depth=max(a.depth, b.depth),
        shape=a.layer.shape[1:],
        dtypes=dtypes,
        elements=found.elements,
        largest_absolute=found.absolute,
        largest_relative=found.relative,
        largest_ulps=found.ulps,
        rms=found.rms,
        scale=squares.scale,
        cosine=squares.cosine,
        largest_scaled=found.scaled,
        tolerance=tolerance,
        beyond=found.beyond / found.elements if found.elements else 0.0,
        unmatched=found.unmatched,
        jump=0.0,
        worst=_worst(a, b, samples, found.worst),
    )


def _worst(
    a: Tensor, b: Tensor, samples: SharedSamples, element: int | None
) -> WorstElement | None:
    if element is None:
        return None
    row, within = divmod(element, prod(a.layer.shape[1:]))
    position = tuple(int(index) for index in np.unravel_index(within, a.layer.shape[1:]))
    ids = a.layer.recording.ids
    return WorstElement(
        sample=int(samples.a[row]),
        sample_b=int(samples.b[row]),
        sample_id=ids[samples.a[row]] if ids else "",
        position=position,
        a=float(rows_of(a.layer, samples.a[row : row + 1])[(0, *position)]),
        b=float(rows_of(b.layer, samples.b[row : row + 1])[(0, *position)]),
    )


def origin_of(recording: Recording) -> Origin:
    """What a recording says of its origin."""
    origin = recording.provenance
    model, software = _mapping(origin.get("model")), _mapping(origin.get("software"))
    return Origin(
        file=recording.path.name,
        framework=_text(origin.get("framework")),
        backend=_text(origin.get("backend")),
        device=_text(origin.get("device")),
        policy=_text(origin.get("dtype-policy")),
        model=_text(model.get("name")),
        weights=_text(model.get("weights-sha256")),
        software={str(name): _text(version) for name, version in software.items()},
    )


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
