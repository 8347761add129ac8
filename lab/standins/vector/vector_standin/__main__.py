"""`python3 -m vector_standin` is the stand-in's `vector`."""

import sys

from vector_standin.cli import main

sys.exit(main(sys.argv[1:]))
