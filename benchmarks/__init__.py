"""Benchmarks: actscope beside its peers and its ceilings, measured in the same run."""
