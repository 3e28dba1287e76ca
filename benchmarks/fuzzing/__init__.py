"""Recordings that are changed at random, and what must be true of each of them."""
