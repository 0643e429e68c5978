"""Parity with the reference systems: each array of a folder of golden vectors is matched, or stands in a table."""
