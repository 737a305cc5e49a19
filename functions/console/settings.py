"""The console's settings; see docs/configuration.md for the variables."""

import os
from dataclasses import dataclass

from process.settings import SettingsError, read_secret, setting

LEAST_CHARACTERS = 16


def _token() -> str:
    token = read_secret("console-token", "CONSOLE_TOKEN")
    if token is None:
        raise SettingsError("the secret console-token, or CONSOLE_TOKEN, must be set: who has it may use the console")
    if len(token) < LEAST_CHARACTERS:
        raise SettingsError(
            f"the secret console-token, or CONSOLE_TOKEN, must have at least {LEAST_CHARACTERS} characters, drawn by "
            "chance, so that nobody finds it by trying"
        )
    return token


@dataclass(frozen=True)
class Settings:
    """What is not given is read from the environment; raises SettingsError.

    token: what people show to be let in. retrain_token: with which the console acts as an operator. label_token: with
    which it sends labels, so that they are its own. bridge_url: where a bridge tells of its lag, None for nowhere.
    """

    token: str = setting(_token)
    retrain_token: str | None = setting(read_secret, "retrain-token", "RETRAIN_TOKEN")
    label_token: str | None = setting(read_secret, "label-token", "LABEL_TOKEN")
    gateway_url: str = setting(lambda: os.environ.get("GATEWAY_URL") or "http://127.0.0.1:8080")
    bridge_url: str | None = setting(lambda: os.environ.get("BRIDGE_URL") or None)
