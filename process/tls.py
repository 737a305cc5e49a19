"""Certificates of servers: whose signature is trusted, and what to say of one that is refused.

OpenSSL reads SSL_CERT_FILE, and by it the clients of RabbitMQ, MongoDB and HTTP do; that of S3 reads AWS_CA_BUNDLE.
"""

import os
import re
from pathlib import Path

from process.settings import SettingsError, read_secret, secret_path

SECRET = "ca-certificates"  # noqa: S105 - a name
VARIABLES = ("SSL_CERT_FILE", "AWS_CA_BUNDLE")
# OpenSSL's words; of a name urllib3's, where it compares names itself, as for boto3.
_REFUSED = re.compile(r"certificate verify failed: (.+?)\.? \(_ssl|(hostname '.+' doesn't match .+)")
_OTHER_NAME = re.compile("mismatch|doesn't match")
_OTHER_TIME = re.compile("expired|not yet valid")


def trust_authorities() -> None:
    """Have clients trust the authorities in the secret `ca-certificates`, else those that the environment names.

    Raises SettingsError for a file without certificates, which OpenSSL would pass over in silence.
    """
    if read_secret(SECRET):
        os.environ.update(dict.fromkeys(VARIABLES, str(secret_path(SECRET))))
    for variable in VARIABLES:
        path = os.environ.get(variable)
        if not path:
            os.environ.pop(variable, None)  # OpenSSL would look for a file without a name
        elif not holds_certificates(Path(path)):
            raise SettingsError(f"{variable} must be the path of a PEM file with certificates, not {path!r}")


def holds_certificates(path: Path) -> bool:
    """Return whether a file can be read and has a certificate in PEM."""
    try:
        return b"CERTIFICATE-----" in path.read_bytes()
    except OSError:
        return False


def explained(error: object, *, authorities: str, address: str) -> str:
    """Return an error's words; where a server's certificate was refused, why, and what to do.

    authorities: the settings that name whom to trust. address: those that name the server.
    """
    refused = _REFUSED.search(str(error))
    if not refused:
        return str(error)
    reason = refused[1] or refused[2]
    if _OTHER_NAME.search(reason):
        return f"its certificate is for another host ({reason}): write a host that is in the certificate in {address}"
    if _OTHER_TIME.search(reason):
        return f"its certificate can't be used now ({reason}): renew it, or set this machine's clock right"
    return (
        f"its certificate is not signed by an authority that is trusted here ({reason}):"
        f" set {authorities} to a PEM file with the authority's certificate, or mount that as the secret {SECRET}"
    )
