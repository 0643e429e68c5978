"""Floor 2: the stores and the life of a memory: observe, recall, and later consolidate, tokens, forget."""
