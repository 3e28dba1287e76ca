"""What a recording says of its origin: a stale or foreign one is told from the right one."""

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

import actscope
from actscope.protocol import ModelProvenance
from actscope.request import Request
from actscope.store.schema import MAXIMUM_PROVENANCE


def describe(
    model: ModelProvenance, data: Mapping[str, Any], request: Request, batch_size: int
) -> str:
    """The provenance as JSON text.

    Args:
        model: what identifies the model.
        data: the feed's fingerprint.
        request: what was asked for.
        batch_size: samples per batch.
    """
    content: dict[str, Any] = {
        "actscope": actscope.__version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "framework": model.framework,
        "backend": model.backend,
        "device": model.device,
        "software": {
            "python": platform.python_version(),
            "numpy": version("numpy"),
            "h5py": version("h5py"),
            **model.software,
        },
        "platform": platform.platform(),
        "dtype-policy": model.policy,
        "model": {
            "name": model.model,
            "weights-sha256": model.weights_sha256,
            "configuration": _parsed(model.configuration),
        },
        "data": dict(data),
        **request.described(),
        "batch-size": batch_size,
    }
    text = json.dumps(content)
    if len(text) > MAXIMUM_PROVENANCE:
        content["model"]["configuration"] = None
        text = json.dumps(content)
    return text


def _parsed(configuration: str) -> Any:
    return json.loads(configuration) if configuration else None
