"""Floor 3: how a stream moves: sources, perception, watch, ask."""
