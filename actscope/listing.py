"""What a model or a recording holds, as text for people and as plain data for programs."""

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from actscope.axes import shape_text
from actscope.errors import printable
from actscope.plurals import counted
from actscope.progress import readable_bytes
from actscope.protocol import LayerInfo
from actscope.recorded import every_tensor
from actscope.store import schema
from actscope.store.reader import RecordedLayer, RecordedTensor, Recording
from actscope.store.schema import TensorPlan

if TYPE_CHECKING:
    from actscope.comparing.result import (
        Comparison,
        LayerDifference,
        Origin,
        Similarity,
        WorstElement,
    )
    from actscope.estimating import Estimate

DIFFERENCE_TITLES = (
    *("layer", "absolute", "relative", "ulps", "rms", "cosine"),
    *("beyond", "scaled", "tolerance", ""),
)


def table(columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]]) -> str:
    """Aligned columns; wide ones are never cut, wherever the text goes."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="")
    for title, justify in columns:
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    printed = io.StringIO()
    Console(file=printed, width=100_000, no_color=True).print(table)
    return "\n".join(line.rstrip() for line in printed.getvalue().splitlines())


def layers_table(found: Sequence[LayerInfo]) -> str:
    """The layers of a model, one line per output, and what else can be recorded by name."""
    layers = [layer for layer in found if not layer.is_boundary]
    others = [layer for layer in found if layer.is_boundary and layer.outputs]
    rows = []
    for layer in layers:
        shapes = [shape_text(output.shape) for output in layer.outputs] or ["-"]
        for position, shape in enumerate(shapes):
            first = position == 0
            rows.append(
                [
                    layer.path if first else "",
                    layer.class_name if first else "",
                    shape,
                    f"{layer.parameters:,}" if first else "",
                    layer.note if first else "",
                ]
            )
    columns = [("layer", "left"), ("class", "left"), ("output", "left"), ("parameters", "right")]
    recordable = sum(bool(layer.outputs) for layer in layers)
    size = readable_bytes(sum(layer.bytes_per_sample for layer in layers))
    closing = f"{recordable} of {len(layers)} layers can be recorded, {size} per sample"
    if others:
        named = ", ".join(f"{layer.path} ({layer.class_name})" for layer in others)
        closing += f"; by name also the model's inputs and its own output: {named}"
    return table([*columns, ("", "left")], rows) + "\n\n" + closing


def plan_table(
    plan: Sequence[TensorPlan],
    groups: Mapping[str, Mapping[str, schema.Attribute]],
    samples: int | None,
) -> str:
    """What will be stored: one line per dataset, with its exact bytes.

    Args:
        plan: the datasets.
        groups: the attributes of each layer's group.
        samples: how many rows each will get, where that is known.
    """
    rows = [
        [
            str(groups.get(tensor.group, {}).get(schema.PATH) or _input_name(tensor)),
            _made_of(tensor),
            shape_text(tensor.shape),
            tensor.dtype,
            f"{tensor.bytes_per_sample:,}",
            f"{tensor.bytes_per_sample * samples:,}" if samples else "",
        ]
        for tensor in plan
    ]
    columns = [("layer", "left"), ("stored", "left"), ("shape", "left"), ("dtype", "left")]
    sizes = [("bytes per sample", "right"), ("in total" if samples else "", "right")]
    each = sum(tensor.bytes_per_sample for tensor in plan)
    closing = f"{len(plan)} datasets, {each:,} bytes ({readable_bytes(each)}) per sample"
    if samples:
        total = each * samples
        closing += f", {total:,} bytes ({readable_bytes(total)}) for {samples:,} samples"
    return table([*columns, *sizes], rows) + "\n\n" + closing


def estimate_lines(found: "Estimate") -> str:
    """What a run will cost, in a few lines."""
    room = "" if found.fits else ", which is too little"
    lines = [
        f"{found.samples:,} samples in batches of {found.batch_size}",
        f"time     about {_duration(found.seconds)}, {found.samples_per_second:,.0f} samples/s",
        f"disk     {readable_bytes(found.bytes_total)} of "
        f"{readable_bytes(found.bytes_free)} free{room}",
        f"memory   {readable_bytes(found.memory)}, however many samples there are",
    ]
    if found.done:
        lines.insert(1, f"goes on after {found.done:,} samples that are there")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    """Such as `"3.2 s"`, `"12 min"` or `"5.1 h"`."""
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.2g} min" if seconds < 6000 else f"{seconds / 3600:.3g} h"


def _input_name(tensor: TensorPlan) -> str:
    return f"input {tensor.attributes[schema.KEY]}"


def _made_of(tensor: TensorPlan) -> str:
    kind = tensor.attributes[schema.ENCODING_TYPE]
    words = ["gradient"] if kind == schema.GRADIENT else []
    call, index = tensor.attributes.get(schema.CALL), tensor.attributes.get(schema.INDEX)
    words += [f"call {call}"] if call else []
    name = tensor.attributes[schema.KEY] if kind != "input" else ""
    words += [f"[{name or index}]"] if name or index else []
    reduction = tensor.attributes.get(schema.REDUCTION, "none")
    words += [str(reduction)] if reduction != "none" else []
    return " ".join(words) or "whole"


def layers_json(layers: Sequence[LayerInfo]) -> list[dict[str, Any]]:
    """The layers of a model as plain data, without its inputs and its own output."""
    return [asdict(layer) for layer in layers if not layer.is_boundary]


def recording_table(recording: Recording) -> str:
    """A recording's origin and its layers."""
    origin = recording.provenance
    model = origin.get("model") or {}
    lines = [
        recording_summary(recording),
        "",
        f"model      {model.get('name', '?')}, weights {str(model.get('weights-sha256'))[:12]}",
        f"run        {origin.get('framework', '?')} on {origin.get('backend', '?')}, "
        f"{origin.get('device', '?')}, {origin.get('created', '?')}",
        f"samples    {_samples_line(recording)}",
        "",
    ]
    columns = [("layer", "left"), ("class", "left"), ("axes", "left"), ("shape", "left")]
    rows = [
        [
            name,
            layer.class_name,
            ", ".join(layer.dims),
            shape_text(layer.shape[1:], str(layer.shape[0])),
            layer.logical_dtype,
            size_words(layer),
        ]
        for name, layer in every_tensor(recording).items()
    ]
    top = "\n".join(map(printable, lines))
    return top + table([*columns, ("dtype", "left"), ("size", "right")], rows)


def _samples_line(recording: Recording) -> str:
    parts = [f"{recording.extent} committed"]
    if recording.ids:
        parts.append(f"ids {recording.ids[0]} to {recording.ids[-1]}")
    if recording.labels is not None:
        parts.append("labels")
    for tensor in recording.inputs:
        shape = shape_text(tensor.shape[1:], str(len(tensor)))
        parts.append(f"input {tensor.name} {shape} {tensor.logical_dtype}")
    return "; ".join(parts)


def size_words(tensor: RecordedTensor) -> str:
    """Such as `"1.2 MB"`, or `"statistics"` where these alone were kept."""
    return readable_bytes(tensor.nbytes) if tensor.is_stored else "statistics"


def recording_summary(recording: Recording) -> str:
    """One line: the file, its samples, layers and size."""
    tensors = [*every_tensor(recording).values(), *recording.inputs]
    state = "complete" if recording.complete else "INCOMPLETE"
    return (
        f"{recording.path}: {counted(recording.samples, 'sample')}, "
        f"{counted(len(recording), 'layer')}, "
        f"{readable_bytes(sum(tensor.nbytes for tensor in tensors))}, {state}"
    )


def recording_json(recording: Recording) -> dict[str, Any]:
    """A recording's origin and its layers as plain data."""
    return {
        "file": str(recording.path),
        "samples": recording.samples,
        "planned": recording.planned,
        "complete": recording.complete,
        "ids": bool(recording.ids),
        "labels": recording.labels is not None,
        "inputs": [
            {"name": i.name, "shape": list(i.shape), "dtype": i.logical_dtype}
            for i in recording.inputs
        ],
        "layers": [_layer_json(layer) for layer in every_tensor(recording).values()],
        "provenance": recording.provenance,
    }


def _layer_json(layer: RecordedLayer) -> dict[str, Any]:
    return {
        "path": layer.path,
        "class": layer.class_name,
        "order": layer.order,
        "call": layer.call,
        "index": layer.index,
        "key": layer.key,
        "reduction": layer.reduction,
        "gradient": layer.is_gradient,
        "dims": list(layer.dims),
        "shape": list(layer.shape),
        "dtype": layer.logical_dtype,
        "data-format": layer.data_format,
        "bytes": layer.nbytes,
        "statistics-alone": not layer.is_stored,
    }


def comparison_table(comparison: "Comparison") -> str:
    """The differences layer by layer, or the similarities of layers, and the verdict."""
    lines = [comparison_origins(comparison), ""]
    if comparison.similarity is not None:
        lines.append(_similarity_table(comparison.similarity))
    elif comparison.layers:
        lines.append(_differences_table(comparison.layers))
    return "\n".join([*lines, "", verdict(comparison)])


def verdict(comparison: "Comparison") -> str:
    """One sentence: whether rounding explains the differences, else where they begin."""
    samples = f"{comparison.samples:,} samples"
    if comparison.similarity is not None:
        return f"{comparison.similarity.method} of each pair of layers over {samples}"
    if not comparison.layers:
        return "no layer could be compared"
    beyond = sum(not layer.within for layer in comparison.layers)
    compared = f"{len(comparison.layers)} layers, {samples}"
    if not beyond:
        return f"within tolerance: {compared}"
    first = printable(comparison.first_diverging or "")
    return f"BEYOND TOLERANCE in {beyond} of {compared}; first diverging: {first}"


def comparison_origins(comparison: "Comparison") -> str:
    """Where the two recordings come from, and what was left out or could not be compared."""
    lines = [_origin_line("a", comparison.a), _origin_line("b", comparison.b)]
    lines += [f"note: {note}" for note in comparison.notes]
    for side, names in (("a", comparison.only_a), ("b", comparison.only_b)):
        if names:
            lines.append(f"only in {side}: {', '.join(names)}")
    lines += [f"not compared: {name}, {why}" for name, why in comparison.not_compared.items()]
    return "\n".join(map(printable, lines))


def _origin_line(side: str, origin: "Origin") -> str:
    run = [f"{origin.framework or '?'} on {origin.backend or '?'}", origin.device, origin.policy]
    weights = f"weights {origin.weights[:12]}" if origin.weights else ""
    parts = [part for part in (*run, origin.model, weights) if part]
    return f"{side}  {origin.file}: {', '.join(parts)}"


def _differences_table(layers: Sequence["LayerDifference"]) -> str:
    name, *titles = DIFFERENCE_TITLES
    columns = [(name, "left"), *((title, "right") for title in titles)]
    return table(columns, [difference_cells(layer) for layer in layers])


def difference_cells(layer: "LayerDifference") -> list[str]:
    """What a table says of one layer, under `DIFFERENCE_TITLES`."""
    return [
        layer.name,
        f"{layer.largest_absolute:.2e}",
        f"{layer.largest_relative:.2e}",
        f"{layer.largest_ulps:.3g}",
        f"{layer.rms:.2e}",
        "-" if layer.cosine is None else f"{layer.cosine:.9f}",
        f"{100 * layer.beyond:.3g} %",
        f"{layer.largest_scaled:.2e}",
        f"{layer.tolerance:.2e}",
        "" if layer.within else "BEYOND",
    ]


def worst_words(worst: "WorstElement") -> str:
    """Which element differs most, and by what."""
    sample = f"sample {worst.sample}" + (f" ({worst.sample_id})" if worst.sample_id else "")
    sample = printable(sample)
    return f"worst: {sample}, element {worst.position}: {worst.a:.9g} against {worst.b:.9g}"


def _similarity_table(similarity: "Similarity") -> str:
    """For each layer of the first model its likest one of the second."""
    rows = []
    for name, values in zip(similarity.layers_a, similarity.values, strict=True):
        likest = "-", ""
        if not np.isnan(values).all():
            best = int(np.nanargmax(values))
            likest = similarity.layers_b[best], f"{values[best]:.4f}"
        rows.append([name, *likest])
    return table([("layer of a", "left"), ("likest layer of b", "left"), ("", "right")], rows)
