"""What a page had its reader's browser send is told from what the user wants.

Any web page can have a browser send requests to the machine it runs on, and have a name of its own lead there (DNS
rebinding). What the page can't do is to leave out `Origin` and `Sec-Fetch-Site`, or to send the `Host` of another.
"""

import os
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import urlsplit

from process.answers import Problem

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
SAFE_WHERE_GET_CHANGES = frozenset({"OPTIONS"})
"""Those of a function that does its work when it is asked by GET, too."""


class Guard:
    """Refuses requests from pages of another origin, and on loopback those by a name that is not this machine's."""

    def __init__(self, address: str, *, safe_methods: frozenset[str] = SAFE_METHODS) -> None:
        """address: where the process listens. safe_methods: those that change nothing here, and are for any page.

        ALLOWED_HOSTS names, with commas between them, what else the process may be asked by; `*` is any name.
        """
        allowed = frozenset(name.strip().lower() for name in os.environ.get("ALLOWED_HOSTS", "").split(",") if name)
        self._checks_host = is_loopback(address) and "*" not in allowed
        self._allowed = allowed
        self._safe_methods = safe_methods

    def check(self, method: str, headers: Mapping[str, str]) -> None:
        """Raise Problem where a request is refused."""
        if self._checks_host and (host := headers.get("host")) and not self._is_own(host):
            detail = (
                f"On this machine alone it answers, not by the name {host[:100]!r}; ALLOWED_HOSTS allows more names."
            )
            raise Problem(403, detail)
        if method not in self._safe_methods and is_foreign(headers):
            raise Problem(403, "This changes something, and a page of another origin asks for it; nothing was done.")

    def _is_own(self, host: str) -> bool:
        name = _name(host)
        return is_loopback(name) or name in self._allowed


@lru_cache(256)
def is_loopback(name: str) -> bool:
    """Return whether a name or address leads to this machine alone."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Return whether a browser says that a page of another origin asks."""
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    # A gateway before this process may have put its own name into Host.
    asked = {headers.get("host"), headers.get("x-forwarded-host")}
    return _netloc(origin) not in asked


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


@lru_cache(256)
def _name(host: str) -> str:
    """Return a Host without its port, and an IPv6 address without its brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
