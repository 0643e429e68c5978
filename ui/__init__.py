"""Floor 4: how a person reaches a memory: the command line, and later the page."""
