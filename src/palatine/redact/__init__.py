"""Redaction: secrets replaced in every byte of a directory that can hold text."""
