"""Encryption: age files written and read, as streams."""
