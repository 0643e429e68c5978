"""The formulas of the reference systems, step by step as published: what our operators are timed against."""
