"""Measurements of Mneme and the synthetic world they draw from; they import `mneme`, never the reverse."""
