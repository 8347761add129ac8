"""What runs on a studio's host, as root, with the standard library alone."""
