"""Settings as environment variables give them."""

import os
from collections.abc import Callable, Sequence
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar
from urllib.parse import urlsplit

P = ParamSpec("P")
T = TypeVar("T")


class SettingsError(Exception):
    """A variable has a value that can't be used; says which and what is allowed."""


def number(name: str, default: float, *, least: float, most: float = float("inf")) -> float:
    """Return the variable `name` as a number from `least` to `most`, or `default` without it; raises SettingsError."""
    value = os.environ.get(name)
    if not value:
        return default
    try:
        found = float(value)
    except ValueError:
        found = float("nan")
    if not least <= found <= most:
        limits = f"of at least {least:g}" if most == float("inf") else f"from {least:g} to {most:g}"
        raise SettingsError(f"{name} must be a number {limits}, not {value!r}")
    return found


def whole_number(name: str, default: int, *, least: float, most: float = float("inf")) -> int:
    """Return the variable `name` as `number` does; raises SettingsError where it is no whole number, too."""
    found = number(name, default, least=least, most=most)
    if found % 1:
        raise SettingsError(f"{name} must be a whole number, not {os.environ[name]!r}")
    return int(found)


def choice(name: str, choices: Sequence[str]) -> str:
    """Return the variable `name`, one of `choices`, the first of them without it; raises SettingsError."""
    value = (os.environ.get(name) or choices[0]).lower()
    if value not in choices:
        raise SettingsError(f"{name} must be {', '.join(choices[:-1])} or {choices[-1]}, not {value!r}")
    return value


def setting(read: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Return a dataclass's field that, where it is not given, is what `read` reads; no `repr` shows it."""
    return field(default_factory=partial(read, *arguments, **options), repr=False)


def checked_url(variable: str, url: str, read: Callable[[str], object], form: str) -> str:
    """Return a URL that `read` can read and in which nothing is escaped badly; raises SettingsError.

    form: how it must be. The error shows nothing of what it is: it has a password in it, and where that is badly
    escaped no part is surely another one's.
    """
    if not _is_clear(url, read):
        raise SettingsError(
            f"{variable} must be {form}; in a name and in the password %2F must stand for /, %3F for ?, %23 for #, "
            "%40 for @, %3A for :, %5B for [, %25 for %"
        )
    return url


def _is_clear(url: str, read: Callable[[str], object]) -> bool:
    try:
        parts = urlsplit(url)
        # An @ behind the host is the one before the host where a / ? or # in the password is not escaped.
        behind = parts.path + parts.query + parts.fragment
        if "://" not in url or "@" in behind or parts.fragment or " " in url or not url.isprintable():
            return False
        read(url)
    except (ValueError, TypeError, SyntaxError):  # the last two from pika, of a missing password and of its options
        return False
    return True


def listen_address(default_port: int) -> tuple[str, int]:
    """Return LISTEN_HOST and LISTEN_PORT, without them 127.0.0.1 and `default_port`; raises SettingsError."""
    return os.environ.get("LISTEN_HOST") or "127.0.0.1", whole_number("LISTEN_PORT", default_port, least=1, most=65535)


def secret_path(name: str) -> Path:
    """Return the file of the secret `name`, whether it is there or not: where there is one, the part's own.

    That has SECRETS_PREFIX before its name, as on OpenFaaS, where all functions find a secret under the same name.
    """
    folder = Path(os.environ.get("SECRETS_DIR") or "/var/openfaas/secrets")
    own = folder / f"{os.environ.get('SECRETS_PREFIX', '')}{name}"
    return own if own.exists() else folder / name


def read_secret(name: str, variable: str | None = None) -> str | None:
    """Return the secret `name`: its file in SECRETS_DIR, else the environment's `variable`, else None.

    White space around it, such as the final newline, is removed; an empty one counts as none. A file that
    exists but can't be read raises OSError: going on without it would hide a wrong mount.
    """
    try:
        value = secret_path(name).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        value = os.environ.get(variable, "") if variable else ""
    return value.strip() or None
