"""Measures one model on several backends: how fast each is, and where their numbers part."""
