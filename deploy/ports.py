"""TCP ports of this machine's loopback address: which are free, whose they are to be, and who answers there."""

import http.client
import secrets
import socket
from collections.abc import Callable, Collection
from urllib.error import HTTPError
from urllib.request import urlopen

LOOPBACK = "127.0.0.1"

Ports = Callable[[str], int]
"""Returns the port for a listener's name."""

_owners: dict[int, str] = {}


def reserve(port: int, owner: str) -> bool:
    """Reserve a port for `owner` until this process ends; False where somebody listens on it or has reserved it.

    A server takes a moment until it listens, in which another process would find its port free. To say that it is
    not, the port of the same number is taken for UDP, which no server here speaks. An owner may reserve its port again.
    """
    if port in _owners:
        return _owners[port] == owner and is_free(port)
    reservation = socket.socket(type=socket.SOCK_DGRAM)
    try:
        reservation.bind((LOOPBACK, port))
        free = is_free(port)
    except OSError:  # another process has reserved it
        free = False
    if not free:
        reservation.close()
        return False
    reservation.detach()  # the system closes it when the process ends
    _owners[port] = owner
    return True


def free_port(owner: str = "") -> int:
    """Return a free port, another one each time, below the range from which systems take client ports.

    It is reserved where an owner is named.
    """
    while True:
        port = 20_000 + secrets.randbelow(12_000)
        if port not in _owners and (reserve(port, owner) if owner else is_free(port)):
            _owners[port] = owner
            return port


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port now."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still closing counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    # Where the system lets one bind beside a listener on all addresses, as macOS does.
    return not accepts(port)


def accepts(port: int, host: str | None = None) -> bool:
    """Return whether somebody accepts connections on this port, of this machine if no host is named."""
    try:
        socket.create_connection((host or LOOPBACK, port), timeout=3).close()
    except OSError:
        return False
    return True


def http_status(port: int, path: str) -> int | None:
    """Return the status of GET `path` on this port; None when no HTTP server answers there."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def wrong_at(url: str, expected: Collection[int] = ()) -> str | None:
    """Return None where GET `url` answers 200, or as `expected`; else what is wrong, for a person to read."""
    try:
        with urlopen(url, timeout=10) as response:  # noqa: S310 - the address is the user's or ours
            return None if response.status == 200 else str(response.status)
    except HTTPError as error:
        if error.code in expected:
            return None
        return f"{error.code}: {error.read(200).decode(errors='replace').strip()}"
    except (OSError, http.client.HTTPException) as error:
        return str(error)
