"""Free ports on loopback."""

import random
import socket

_PORTS = range(15_000, 32_000)
"""Below the ports that systems give to outgoing connections: thousands of those come and go while brokers are away."""

_random = random.SystemRandom()
_given: set[int] = set()


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on now and that this process was not given before."""
    ports: list[int] = []
    while len(ports) < count:
        port = _random.choice(_PORTS)
        if port not in _given and _is_free(port):
            _given.add(port)
            ports.append(port)
    return ports


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
