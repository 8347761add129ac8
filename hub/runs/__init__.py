"""Runs: a command to a device, its output in chunks, its end."""
