"""Why an HTTP exchange failed, in words that hold nothing of what the other side sent."""

from __future__ import annotations

CERTIFICATE = "its certificate is not trusted here: let SSL_CERT_FILE name the certificate of its authority"


def reason(error: BaseException) -> str:
    """Return an error's kind or the system's words: the HTTP client's own text may hold what the service chose."""
    return getattr(error, "strerror", None) or type(error).__name__
