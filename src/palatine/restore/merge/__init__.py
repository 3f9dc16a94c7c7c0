"""Merging a snapshot into a palace: rows by natural keys, JSON lists by `id`, other files whole."""
