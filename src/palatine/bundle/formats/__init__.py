"""Archives of the tools whose palaces we keep: written so that they accept them, and read."""
