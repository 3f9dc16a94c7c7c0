"""Frames as bytes: compression, deltas, the sealing stage. Knows nothing of objects or packs."""
