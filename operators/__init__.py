"""Floor 1: the mathematics of memory, pure functions and small modules on tensors, one idea a file."""
