"""Who may look: whoever has shown the token, as a signed cookie says."""

import hashlib
import hmac
from datetime import timedelta

from flask import Flask, request, session
from flask.sessions import SecureCookieSessionInterface

from process.answers import Problem

SESSION_HOURS = 12


class Access:
    """Lets in whoever shows the token, into a session of SESSION_HOURS that a changed token ends."""

    def __init__(self, token: str) -> None:
        """token: the only one that is right."""
        self._token = token.encode()

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
        """Begin a session; raises Problem for a wrong token.

        Who guesses holds up nobody who knows it: it is too long to be found.
        """
        if not hmac.compare_digest(token.encode(errors="replace"), self._token):
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
