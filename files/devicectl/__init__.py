"""What a deploy does on a device, as root, with the standard library alone: the agent put in place, seen, removed."""
