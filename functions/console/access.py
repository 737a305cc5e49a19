"""Who may look: whoever has shown the token, as a signed cookie says."""

import hashlib
import hmac
import time
from datetime import timedelta
from threading import Lock

from flask import Flask, request, session
from flask.sessions import SecureCookieSessionInterface

from process.answers import Problem, TooSoon

SESSION_HOURS = 12
PAUSE_SECONDS = 1.0
"""After a wrong token, until another one is looked at."""


class Access:
    """Lets in whoever shows the token, into a session of SESSION_HOURS that a changed token ends."""

    def __init__(self, token: str) -> None:
        """token: the only one that is right."""
        self._token = token.encode()
        self._lock = Lock()
        self._paused_until = 0.0

    def guard(self, app: Flask) -> None:
        """Have an app's sessions be ours."""
        app.secret_key = hashlib.sha256(b"console session\0" + self._token).digest()
        app.permanent_session_lifetime = timedelta(hours=SESSION_HOURS)
        app.session_interface = _Sessions()
        app.config.update(
            SESSION_COOKIE_NAME="console",
            SESSION_COOKIE_HTTPONLY=True,
            SESSION_COOKIE_SAMESITE="Strict",
            SESSION_REFRESH_EACH_REQUEST=False,
        )

    def enter(self, token: str) -> None:
        """Begin a session; raises Problem for a wrong token, and for any a moment after a wrong one."""
        with self._lock:
            if (wait := self._paused_until - time.monotonic()) > 0:
                raise TooSoon("Somebody has just tried a wrong token; try again in a second.", wait)
            if not hmac.compare_digest(token.encode(errors="replace"), self._token):
                self._paused_until = time.monotonic() + PAUSE_SECONDS
                raise Problem(401, "This is not the console's token.")
        session.permanent = True
        session["entered"] = True

    @staticmethod
    def has_entered() -> bool:
        """Return whether the request that is answered is of a session."""
        return bool(session.get("entered"))

    @staticmethod
    def leave() -> None:
        """End the session of this browser."""
        session.clear()


class _Sessions(SecureCookieSessionInterface):
    """Sessions by cookies that are sent no further than they have to be."""

    def get_cookie_path(self, app: Flask) -> str:  # noqa: ARG002 - Flask's
        """Return none: the browser takes the folder that it was asked in, and other functions never get it."""
        return None  # type: ignore[return-value] # what a cookie without a path has

    def get_cookie_secure(self, app: Flask) -> bool:  # noqa: ARG002
        """Return whether the browser speaks HTTPS to the gateway, and so never sends the cookie without."""
        return request.headers.get("X-Forwarded-Proto") == "https"
