"""`python3 -m hostctl`, and the entry point of the zipapp."""

from hostctl.cli import program

if __name__ == "__main__":
    program()
