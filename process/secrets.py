"""Secrets as OpenFaaS hands them out: one file each, under /var/openfaas/secrets."""

import os
from pathlib import Path

DEFAULT_SECRETS_DIR = "/var/openfaas/secrets"


def read_secret(name: str, variable: str | None = None) -> str | None:
    """Return the secret `name`: its file in SECRETS_DIR, else the environment's `variable`, else None.

    White space around it, such as the final newline, is removed; an empty one counts as none. A file that
    exists but can't be read raises OSError: going on without it would hide a wrong mount.
    """
    path = Path(os.environ.get("SECRETS_DIR") or DEFAULT_SECRETS_DIR) / name
    try:
        value = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        value = os.environ.get(variable, "") if variable else ""
    return value.strip() or None
