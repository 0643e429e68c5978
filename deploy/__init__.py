"""Floor 4: how others reach a memory over a wire (servers and clients arrive with the doors of issue 4)."""
