"""`python3 -m hostctl`, and the entry point of the zipapp."""

import sys

from hostctl.cli import main

if __name__ == "__main__":
    sys.exit(main())
