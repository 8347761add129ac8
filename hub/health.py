"""`python3 health.py PORT`: exit code 0 when the hub on this machine answers. It imports little: it runs often."""

import socket
import sys


def answers(port: int, seconds: float = 4.0) -> bool:
    """Whether /healthz on the loopback address answers with 200."""
    try:
        with socket.create_connection(("127.0.0.1", port), seconds) as connection:
            connection.sendall(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")
            return connection.recv(64).partition(b"\r\n")[0].endswith(b" 200 OK")
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(not answers(int(sys.argv[1])))
