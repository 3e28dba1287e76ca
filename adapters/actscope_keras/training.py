"""Records the same samples after each epoch of `fit`, into one file."""

import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from actscope.errors import DataError
from actscope.extraction import feed_for, prepare, record_run, warn_of_overflows
from actscope.objectives import Gradients
from actscope.planning import Reductions
from actscope.registry import adapter_for
from actscope.replacing import check_output
from actscope.request import Request
from actscope.selection import Selection
from actscope.store.schema import RecordingPlan
from actscope.store.writer import Writer


class Record(keras.callbacks.Callback):  # type: ignore[misc] # Keras has no types
    """Records what layers compute for the same samples after each epoch; training is unchanged.

    Every row of the file is one sample after one epoch, epoch after epoch, and `/samples/epoch`
    says which: so everything that reads, draws and protects a recording's rows holds for these too,
    and a training that ends early leaves a file that is whole as far as it goes.
    """

    def __init__(  # noqa: PLR0913 - the words of `actscope.extract`
        self,
        data: Any,
        path: str | Path,
        *,
        layers: Selection = None,
        every: int = 1,
        reduce: Reductions = None,
        dtype: str | None = None,
        gradients: Gradients = None,
        y: Any = None,
        batch_size: int | str | None = None,
        ids: Sequence[str] | None = None,
        labels: npt.ArrayLike | None = None,
        store_inputs: bool | None = None,
        overwrite: bool = False,
    ) -> None:
        """What to record; the words are those of `actscope.extract`.

        Args:
            data: the samples, as for `actscope.extract`; they are read anew for every epoch.
            path: the HDF5 file to write.
            layers: which layers.
            every: record after every so many epochs.
            reduce: what to compute of the outputs.
            dtype: what to cast them to.
            gradients: what to record the gradients of.
            y: what the loss or the function gets besides the outputs.
            batch_size: samples per batch; by default as in `actscope.extract`.
            ids: a name for each sample.
            labels: a number or text for each sample.
            store_inputs: whether to keep the inputs, once per epoch.
            overwrite: whether a file at `path` may be replaced.

        Raises:
            OutputExistsError: the file exists and `overwrite` is false.
            DataError: the data can be read only once, or `every` is no positive number.
        """
        super().__init__()
        if every < 1:
            raise DataError(f"every={every!r}: give a whole number of at least 1")
        if isinstance(data, Iterator):
            raise DataError(
                f"a {type(data).__name__} can be read only once, and is needed after every epoch: "
                "give an array, a dataset or a loader"
            )
        check_output(Path(path), overwrite=overwrite)
        self._data, self._path, self._every, self._overwrite = data, Path(path), every, overwrite
        self._request = Request(
            layers, reduce, dtype, gradients, y, batch_size, ids, labels, store_inputs
        )
        self._writer: Writer | None = None
        self._overflows: list[int] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras's own
        """Before the first epoch: make everything ready, so that what is wrong shows at once."""
        if self._writer is None:
            self._prepare(epoch)

    def _prepare(self, first: int) -> None:
        last = int((self.params or {}).get("epochs", first + 1))
        epochs = [number for number in range(first + 1, last + 1) if self._is_due(number)]
        if not epochs:
            raise DataError(f"every={self._every} records after none of {last - first} epochs")
        adapter = adapter_for(self.model)
        self._run = prepare(
            adapter, self.model, feed_for(adapter, self.model, self._data), self._request
        )
        self._writer = Writer(
            self._path, over_epochs(self._run.plan, epochs), overwrite=self._overwrite
        )
        # The file is let go of when the training fails, too: Keras then calls nothing more.
        self._closing = weakref.finalize(self, self._writer.close)

    def _is_due(self, epoch: int) -> bool:
        return epoch % self._every == 0

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras's own
        """Record all samples."""
        if self._writer is None or not self._is_due(epoch + 1):
            return
        feed = feed_for(adapter_for(self.model), self.model, self._data)
        found = record_run(self._run, feed, self._writer, lambda _: None)
        pairs = zip(self._overflows or [0] * len(found), found, strict=True)
        self._overflows = [before + now for before, now in pairs]

    def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002 - Keras's own
        """Let go of the file."""
        if self._writer is not None:
            self._closing()
            self._writer = None
            warn_of_overflows(self._run, self._overflows)


def over_epochs(plan: RecordingPlan, epochs: Sequence[int]) -> RecordingPlan:
    """The plan for the same samples once per epoch.

    Args:
        plan: for the samples once.
        epochs: the numbers of the epochs, from 1.
    """
    labels = plan.labels if plan.labels is None else np.tile(plan.labels, len(epochs))
    return replace(
        plan,
        samples=plan.samples * len(epochs),
        ids=plan.ids * len(epochs),
        labels=labels,
        epochs=np.repeat(np.array(epochs, np.int64), plan.samples),
    )
