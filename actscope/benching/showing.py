"""A benchmark's result as a table for people, and as a picture."""

from pathlib import Path

from actscope.benching.plan import Bench, Measured, Run
from actscope.listing import table
from actscope.progress import readable_bytes


def bench_table(bench: Bench) -> str:
    """One line per backend and batch size, then how far the backends' numbers are apart."""
    columns = [
        *(("backend", "left"), ("batch", "right"), ("compile", "right"), ("forward", "right")),
        *(("recording", "right"), ("spread", "right"), ("costs", "right"), ("to host", "right")),
        *(("to disk", "right"), ("host peak", "right"), ("device peak", "right")),
    ]
    rows = [
        _row(measured, run, bench.samples) for measured in bench.backends for run in measured.runs
    ]
    lines = [
        f"{bench.model} on {bench.data}: {bench.samples:,} samples; samples per second, medians",
        f"{bench.machine.get('processor')}, {bench.machine.get('cores')} cores",
        "",
        table(columns, rows),
        "",
    ]
    lines += [f"{one.backend}: left out: {one.error}" for one in bench.backends if one.error]
    lines += [_agreement(comparison) for comparison in bench.comparisons]
    return "\n".join(lines)


def _row(measured: Measured, run: Run, samples: int) -> list[str]:
    slowest, fastest = (samples / seconds for seconds in _ends(run.record.seconds))
    device = measured.peak_device_bytes
    return [
        measured.backend,
        str(run.batch_size),
        f"{run.compile_seconds:.2f} s",
        f"{samples / run.forward.median:,.0f}/s",
        f"{samples / run.record.median:,.0f}/s",
        f"{slowest:,.0f}-{fastest:,.0f}",
        f"{run.share:+.0%}",
        readable_bytes(run.bytes_to_host),
        readable_bytes(run.bytes_to_disk),
        readable_bytes(measured.peak_host_bytes),
        "-" if device is None else readable_bytes(device),
    ]


def _ends(seconds: tuple[float, ...]) -> tuple[float, float]:
    return max(seconds), min(seconds)


def _agreement(comparison: dict[str, object]) -> str:
    pair = f"{comparison['a']} and {comparison['b']}"
    if "error" in comparison:
        return f"{pair}: not compared: {comparison['error']}"
    if comparison.get("within"):
        return f"{pair}: every layer agrees within the tolerance"
    return f"{pair}: part at {comparison.get('first_diverging')!r}"


def save_plot(bench: Bench, path: Path) -> None:
    """Draw samples per second of the forward pass and of the recording, by backend and batch."""
    from matplotlib.figure import Figure

    from actscope import render

    runs = [(measured, run) for measured in bench.backends for run in measured.runs]
    figure = Figure(figsize=(1.6 + 1.3 * len(runs), 4), layout="constrained")
    axes = figure.subplots()
    for offset, name, colour in ((-0.2, "forward", "#9aa7b5"), (0.2, "record", "#2b6ca3")):
        timed = [getattr(run, name) for _, run in runs]
        speeds = [bench.samples / one.median for one in timed]
        below = [s - bench.samples / max(t.seconds) for s, t in zip(speeds, timed, strict=True)]
        above = [bench.samples / min(t.seconds) - s for s, t in zip(speeds, timed, strict=True)]
        label = {"forward": "forward pass alone", "record": "recording"}[name]
        places = [position + offset for position in range(len(runs))]
        axes.bar(places, speeds, 0.38, label=label, color=colour)
        axes.errorbar(places, speeds, [below, above], fmt="none", ecolor="#333333", capsize=3)
    axes.set_xticks(range(len(runs)), [f"{m.backend}\nbatch {r.batch_size}" for m, r in runs])
    axes.set_ylabel("samples per second")
    axes.set_title(f"{Path(bench.model).name}, {bench.samples:,} samples", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    render.save(figure, path)
