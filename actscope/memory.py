"""How much memory this process has had."""

import sys


def peak_host_bytes() -> int:
    """The most bytes that this process has had in memory; 0 where the system does not say."""
    if sys.platform == "win32":
        return 0
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
