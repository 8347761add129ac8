"""Verification: is everything on a studio's host as its inventory says?

One program gathers the facts on the host (`probe/`), in one round trip; the checks (`checks_*.py`) are pytest
functions over those facts and the rendered generation, so that each says what it expects in its name.
"""
