"""Who sends labels: told by the credential that a request brings, and by nothing that it says of itself."""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field

from process.settings import SettingsError, read_secret

OPERATOR = "operator"
"""Who has the retrain-token; where there is none, everybody."""


def read_label_tokens() -> Mapping[str, str]:
    """Return the names of senders by their tokens: the secret `label-tokens`, a name and a token each.

    They stand in lines, or between commas, since not everything that hands on a variable takes a line feed in it.

    Raises SettingsError, which shows nothing of them.
    """
    found = dict[str, str]()
    content = read_secret("label-tokens", "LABEL_TOKENS") or ""
    for number, entry in enumerate(content.replace(",", "\n").splitlines(), 1):
        match entry.split():
            case []:
                continue
            case [name, token] if token not in found and name != OPERATOR:
                found[token] = name
            case _:
                raise SettingsError(
                    f"entry {number} of the secret label-tokens must be a name, other than {OPERATOR}, and a token "
                    "that no other entry has, with a space between them"
                )
    return found


@dataclass(frozen=True)
class Callers:
    """Those who may change something. token: the operator's. senders: names by tokens, of who may send labels alone."""

    token: str | None = field(repr=False)
    senders: Mapping[str, str] = field(default_factory=dict, repr=False)

    def name(self, authorization: str) -> str | None:
        """Return whose credential an `Authorization` is, None where it is nobody's."""
        for token, name in self.senders.items():
            if _is(token, authorization):
                return name
        return OPERATOR if self.token is None or _is(self.token, authorization) else None


def _is(token: str, authorization: str) -> bool:
    return hmac.compare_digest(authorization.encode(), f"Bearer {token}".encode())
