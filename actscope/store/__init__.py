"""The recording on disk: its schema (pure), the writer, and the reader."""
