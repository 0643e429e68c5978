"""The formulas of the reference systems, plainly and step by step as published: what our operators are timed against."""
