"""One verb per module: options in, result out. Dangerous verbs plan first, then act on the plan."""
