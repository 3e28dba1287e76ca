"""The demo: a small ConvNet reads handwritten digits, is recorded, and drawn from the file alone.

The model and the digits are in this folder; scripts/make_demo_model.py made them.
"""

from actscope.demo.run import run

__all__ = ["run"]
