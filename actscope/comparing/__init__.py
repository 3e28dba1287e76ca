"""Compares two recordings: where their numbers part, or how alike two models represent samples."""
