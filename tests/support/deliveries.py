"""Webhook deliveries as GitHub sends them."""

import hashlib
import hmac
import itertools
import json

SECRET = "d1c2b3a4958677f8e9da0b1c2d3e4f5061728394a5b6c7d8"
_numbers = itertools.count(1)


def signed(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def about(repository: str = "octo/app", number: int = 0, **more: object) -> bytes:
    """A payload about a repository."""
    return json.dumps({"repository": {"full_name": repository, "id": number}, **more}).encode()


def fields(body: bytes, event: str, **changed: str) -> dict[str, str]:
    """The header fields of a delivery; `changed` by names with underscores."""
    return {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": f"00000000-0000-0000-0000-{next(_numbers):012}",
        "X-Hub-Signature-256": signed(body),
        "User-Agent": "GitHub-Hookshot/test",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }


def raw(body: bytes, event: str = "issues", *lines: str, length: int | None = None, **changed: str) -> bytes:
    """A delivery as bytes, with further header `lines`, by default announced as long as it is."""
    named = [f"{name}: {value}" for name, value in fields(body, event, **changed).items() if value]
    announced = f"Content-Length: {len(body) if length is None else length}"
    head = ["POST /-/webhook HTTP/1.1", "Host: 127.0.0.1", announced, *named, *lines, "", ""]
    return "\r\n".join(head).encode() + body
