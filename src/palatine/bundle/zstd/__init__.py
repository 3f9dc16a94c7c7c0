"""Compression: one zstd stream, written by several threads and read with suspicion."""
