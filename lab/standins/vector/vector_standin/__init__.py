"""A stand-in for Vector 0.57: runs the part of its configuration that the studio uses, and refuses every other part.

It exists because Vector's binary is in no package registry. The VRL language is Vector's own (the package vector-vrl);
everything around it is written here after Vector's documentation and source. It is never deployed to a studio.
"""

VERSION = "0.57.0"
BANNER = f"vector {VERSION} (STAND-IN of the lab, not Vector itself)"
