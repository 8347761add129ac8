"""What runs on the studio's host as root and gathers everything the checks look at, in one go.

It is sent along and leaves nothing behind. Standard library only (and the host's own paho for the broker). It judges
nothing, and no secret's value is in its answer.
"""
