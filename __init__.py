"""Mneme: one memory for everything that watches and listens."""

__version__ = "0.1.0"
