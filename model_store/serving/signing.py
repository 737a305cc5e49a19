"""Signed URLs. `python -m model_store.signing` writes that of current.json to stdout, for `CurrentPoller`."""

import sys
from urllib.parse import quote

from botocore.auth import S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError

from model_store.child import DENIED, fail
from model_store.documents import CURRENT_KEY
from model_store.errors import NO_KEYS, StoreDenied
from model_store.poller import SIGNED_FOR_SECONDS
from model_store.settings import Settings


class Signer:
    """Signs GETs of one bucket's objects; raises StoreDenied where there are no keys."""

    def __init__(self, settings: Settings) -> None:
        endpoint_url = settings.endpoint_url or f"https://s3.{settings.region}.amazonaws.com"
        self._base_url = f"{endpoint_url.rstrip('/')}/{settings.bucket}/"
        keys = settings.keys
        credentials = (
            Credentials(keys.access_key, keys.secret_key, keys.session_token) if keys else _found_credentials()
        )
        self._auth = S3SigV4QueryAuth(
            credentials.get_frozen_credentials(), "s3", settings.region, expires=SIGNED_FOR_SECONDS
        )

    def url(self, key: str) -> str:
        """Return the URL that gives an object for the next SIGNED_FOR_SECONDS."""
        request = AWSRequest("GET", self._base_url + quote(key))
        self._auth.add_auth(request)
        return str(request.url)


def _found_credentials() -> Credentials:
    """Return the keys of botocore's own search: profile, web identity, instance role."""
    # Not at the top: most set-ups name their keys.
    from botocore.session import get_session

    try:
        credentials = get_session().get_credentials()
    except BotoCoreError as error:
        raise StoreDenied(f"{NO_KEYS} ({error})") from error
    if credentials is None:
        raise StoreDenied(NO_KEYS)
    return credentials


def main() -> int:
    """Write the URL; returns the exit code."""
    try:
        url = Signer(Settings.from_environment()).url(CURRENT_KEY)
    except StoreDenied as error:
        return fail(error, DENIED)
    sys.stdout.write(url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
