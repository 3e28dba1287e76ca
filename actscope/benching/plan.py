"""What a benchmark measures and what it found, as plain data that crosses processes as JSON."""

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Work:
    """What every backend does.

    Attributes:
        model: a `.keras` file or `package.module:callable`.
        data: what `actscope extract` takes as DATA.
        layers: patterns; empty for the layers one level below the model.
        samples: how many samples; None for all.
        weights: the file that all backends take the weights from.
        folder: where recordings are written.
    """

    model: str
    data: str
    layers: tuple[str, ...]
    samples: int | None
    weights: str
    folder: str


@dataclass(frozen=True)
class Timed:
    """Seconds of several rounds over all samples."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.seconds)

    def to_json(self, samples: int) -> dict[str, Any]:
        """Seconds and samples per second with their spread, from the slowest to the fastest."""
        return {
            "seconds": list(self.seconds),
            "median-seconds": self.median,
            "samples-per-second": samples / self.median,
            "spread": [samples / max(self.seconds), samples / min(self.seconds)],
        }


@dataclass(frozen=True)
class Run:
    """One backend with one batch size.

    Attributes:
        batch_size: samples per batch.
        compile_seconds: from the traced model to the end of the first batch.
        forward: the bare forward pass, its output brought to the host.
        record: the whole recording, into a file.
        bytes_to_host: what all samples' recorded tensors take.
        bytes_to_disk: the file.
    """

    batch_size: int
    compile_seconds: float
    forward: Timed
    record: Timed
    bytes_to_host: int
    bytes_to_disk: int

    @property
    def share(self) -> float:
        """What recording costs beside the bare forward pass: 0.25 is a quarter more time."""
        return self.record.median / self.forward.median - 1

    def to_json(self, samples: int) -> dict[str, Any]:
        """Plain data."""
        return {
            "batch-size": self.batch_size,
            "compile-seconds": self.compile_seconds,
            "forward": self.forward.to_json(samples),
            "record": self.record.to_json(samples),
            "recording-costs": self.share,
            "bytes-to-host": self.bytes_to_host,
            "bytes-to-disk": self.bytes_to_disk,
        }


@dataclass(frozen=True)
class Measured:
    """What one backend gave.

    Attributes:
        backend: its name.
        error: why there is nothing, or empty.
        software: versions by name.
        device: where it ran.
        weights_sha256: the hash of the weights that it ran with.
        samples: how many samples it ran over.
        runs: one per batch size.
        peak_host_bytes: the process's peak of memory.
        peak_device_bytes: the accelerator's, or None where there is none.
        recording: the file that is compared with the other backends'.
    """

    backend: str
    error: str = ""
    software: dict[str, str] = field(default_factory=dict)
    device: str = ""
    weights_sha256: str = ""
    samples: int = 0
    runs: tuple[Run, ...] = ()
    peak_host_bytes: int = 0
    peak_device_bytes: int | None = None
    recording: str = ""

    def to_json(self, samples: int) -> dict[str, Any]:
        """Plain data."""
        plain = asdict(self)
        del plain["recording"]
        named = {name.replace("_", "-"): value for name, value in plain.items()}
        return {**named, "runs": [run.to_json(samples) for run in self.runs]}


@dataclass(frozen=True)
class Bench:
    """A whole benchmark.

    Attributes:
        model: what was measured.
        data: on what.
        samples: how many samples.
        machine: the processor, cores, memory and system.
        backends: what each gave.
        comparisons: for each pair of backends that ran, how far their numbers are apart, as
            `actscope.compare` says it.
    """

    model: str
    data: str
    samples: int
    machine: dict[str, Any]
    backends: tuple[Measured, ...]
    comparisons: tuple[dict[str, Any], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "model": self.model,
            "data": self.data,
            "samples": self.samples,
            "machine": self.machine,
            "backends": [measured.to_json(self.samples) for measured in self.backends],
            "comparisons": list(self.comparisons),
        }
