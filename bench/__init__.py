"""Benchmarks: every number beside a peer's, measured in the same run on the same machine."""
