"""The live page: what happens, streamed to browsers."""
