"""Refuses rows that a recording has no room for: written, they would damage what is around them."""

from collections.abc import Sequence

import numpy as np

from actscope.dtypes import raw_dtype
from actscope.errors import ModelError
from actscope.store.bands import Part
from actscope.store.schema import RecordingPlan


def refuse_other_rows(plan: RecordingPlan, batch: Sequence[Part]) -> None:
    """Compare a batch with what the plan has: as many arrays, of its shapes and dtypes.

    Args:
        plan: of the recording.
        batch: one array `(n, *shape)` per tensor, those of which only statistics are kept last.

    Raises:
        ModelError: an array is another than was planned from the model's trace.
    """
    tensors = (*plan.tensors, *plan.unstored)
    if len(batch) != len(tensors):
        raise ModelError(f"a batch has {len(batch)} arrays, {len(tensors)} are recorded")
    for rows, tensor in zip(batch, tensors, strict=True):
        if not isinstance(rows, np.ndarray):
            continue  # stored rows come from a recording of the same plan
        found, planned = (len(rows), *rows.shape[1:]), (len(batch[0]), *tensor.shape)
        dtype = np.dtype(np.uint8) if rows.dtype == bool else rows.dtype  # the same bytes
        if found != planned or dtype != raw_dtype(tensor.dtype):
            raise ModelError(
                f"{tensor.dataset}: a batch of shape {found} and dtype {rows.dtype} came, "
                f"{planned} and {raw_dtype(tensor.dtype).name} were planned: the model returns "
                "something else than when it was traced"
            )
