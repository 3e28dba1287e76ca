"""Runs one function of a benchmark in this process, and prints what it returns as JSON."""

import json
import os
import sys
from importlib import import_module


def main() -> None:
    """Call the function with the arguments that the command line holds as JSON."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    module, function, words = sys.argv[1:]
    found = getattr(import_module(module), function)(*json.loads(words))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
