"""A port for processes to meet at."""

import socket


def free_port() -> int:
    """That nobody listened on a moment ago."""
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]
