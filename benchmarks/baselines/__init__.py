"""The formulas of the reference systems written plainly, step by step as published: what our operators are timed against."""
