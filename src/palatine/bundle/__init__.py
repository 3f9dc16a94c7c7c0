"""Bundles: a snapshot as one file that travels, and the archives of other tools."""
