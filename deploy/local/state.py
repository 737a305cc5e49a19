"""What the local stack remembers between starts, in `.local/`: ports, credentials, addresses."""

import hashlib
import json
import os
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from deploy.ports import free_port, reserve
from deploy.runner import ServiceError

ROOT = Path(__file__).resolve().parents[2]

# The ports that people expect, where they are free.
_USUAL_PORTS = {"s3": 8333, "mongodb": 27017, "rabbitmq": 5672, "rabbitmq-stream": 5552}

# Where a file is damaged, and there is no copy to put back.
_MENDING = {
    "ports.json": "delete it, and other ports are chosen",
    "variables.json": "delete it, and unset what its .local/env has set in your shell",
    "credentials.json": "put a copy back; without one, delete it and the folder rabbitmq, whose password was in it",
}

# Unix sockets take 104 bytes of path on macOS and 108 on Linux; supervisord appends its process id.
_MAX_SOCKET_PATH_BYTES = 90


class State:
    """The folder `.local/`; all of it may be read by its owner alone."""

    def __init__(self, folder: Path = ROOT / ".local") -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, exist_ok=True)
        self.logs = folder / "log"
        self.logs.mkdir(mode=0o700, exist_ok=True)
        self.stack_log = self.logs / "stack.log"

    @property
    def socket(self) -> Path:
        """Return where supervisord listens: in the folder, or in /tmp where the folder's path is too long."""
        path = self.folder / "supervisor.sock"
        if len(os.fsencode(path)) <= _MAX_SOCKET_PATH_BYTES:
            return path
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:16]
        return Path(f"/tmp/sentiment-{os.getuid()}-{digest}.sock")  # noqa: S108 - only its owner may connect

    def port(self, name: str) -> int:
        """Reserve a listener's port and return it: the last start's if it is free, else the usual one, else any."""
        known: dict[str, int] = self._read("ports.json")
        owner = f"{self.folder} {name}"
        wanted = (known.get(name), _USUAL_PORTS.get(name))
        port = next((port for port in wanted if port and reserve(port, owner)), None) or free_port(owner)
        self.write("ports.json", json.dumps(known | {name: port}, indent=2))
        return port

    def has_credential(self, name: str) -> bool:
        """Tell whether a secret was made at an earlier start."""
        return name in self._read("credentials.json")

    def credential(self, name: str, *, size_bytes: int = 16) -> str:
        """Return a random secret, the same one at each start."""
        known: dict[str, str] = self._read("credentials.json")
        if name not in known:
            known[name] = secrets.token_hex(size_bytes)
            self.write("credentials.json", json.dumps(known, indent=2))
        return known[name]

    def variables(self) -> dict[str, str]:
        """Return the settings that the last start gave out in `.local/env`."""
        return self._read("variables.json")

    def keep_variables(self, variables: Mapping[str, str]) -> None:
        """Write `.local/env`, in shell syntax."""
        self.write("variables.json", json.dumps(dict(variables), indent=2))
        self.write("env", "".join(f"export {k}={shlex.quote(v)}\n" for k, v in variables.items()))

    def write(self, name: str, text: str) -> Path:
        """Write a file of the folder that only its owner may read, whole or not at all; raises ServiceError."""
        path, part = self.folder / name, self.folder / f"{name}.part"
        try:
            part.touch(mode=0o600)
            with part.open("w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise ServiceError(f"{path} can't be written: {error.strerror}") from error
        return path

    def _read(self, name: str) -> dict[str, Any]:
        path = self.folder / name
        try:
            return dict(json.loads(path.read_text())) if path.exists() else {}
        except ValueError as error:
            raise ServiceError(f"{path} is damaged ({error}): {_MENDING[name]}") from error
