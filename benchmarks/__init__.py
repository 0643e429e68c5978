"""Measurements of Mneme: the synthetic world they draw from, and what they print. They import `mneme`, never the reverse."""
