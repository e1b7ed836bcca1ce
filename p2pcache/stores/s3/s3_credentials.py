"""Where the credentials for a bucket come from: the ways of Amazon's SDKs, but for profiles.

What is not there is one sentence instead of an attempt: the client library would otherwise ask the metadata service of
a virtual machine, which elsewhere is an address that nobody answers at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from p2pcache.stores.driver import StoreError, check_credential
from p2pcache.values import Secret

VENDOR = Path("/sys/class/dmi/id/sys_vendor")
"""The maker of this machine; "Amazon EC2" on a virtual machine of Amazon's, and in its containers."""
_OWN = ("CACHE_S3_ACCESS_KEY_ID", "CACHE_S3_SECRET_ACCESS_KEY", "CACHE_S3_SESSION_TOKEN")
_AMBIENT = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_SERVICES = ("AWS_ENDPOINT_URL_STS", "AWS_METADATA_ENDPOINT", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
_METADATA = ("http://169.254.169.254", "http://169.254.170.2")
"""Of a virtual machine, and of a container that has a relative URI."""
_NONE = "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or let a step assume a role"
_PROFILE = "AWS_PROFILE is not read: export the profile's credentials (aws configure export-credentials --format env)"
_WHERE = " (docs/s3.md#credentials)"

Provider = Callable[[], Mapping[str, Any]]


def credentials(options: Mapping[str, Any], environ: Mapping[str, str], vendor: Path | None = None) -> dict[str, Any]:
    """Return what an `obstore.store.S3Store` needs beside the environment, which it reads by itself: keys, or nothing.

    Args:
        options: the settings of the backend.
        environ: the variables of this process.
        vendor: see `VENDOR`.

    Raises:
        StoreError: there are none that can be used.
    """
    own = _pair(_OWN, options["s3_access_key_id"], options["s3_secret_access_key"], options["s3_session_token"])
    if own:
        return own
    access, secret, token = (Secret(environ.get(name, "").strip()) for name in _AMBIENT)
    ambient = _pair(_AMBIENT, access, secret, token)
    if ambient or _role(environ) or _on_ec2(environ, vendor or VENDOR):
        return ambient
    raise StoreError((_PROFILE if environ.get("AWS_PROFILE") else _NONE) + _WHERE, lasting=True)


def credential_source(options: Mapping[str, Any], environ: Mapping[str, str], vendor: Path | None = None) -> str:
    """Return where `credentials` come from, in a few words without any of them.

    Raises:
        StoreError: as `credentials`.
    """
    if "credential_provider" in credentials(options, environ, vendor):
        own = options["s3_access_key_id"].reveal()
        return " and ".join((_OWN if own else _AMBIENT)[:2])
    if environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        return "the role of AWS_ROLE_ARN, by AWS_WEB_IDENTITY_TOKEN_FILE"
    if _role(environ):
        return "the role of this container (AWS_CONTAINER_CREDENTIALS_*_URI)"
    return "the role of this virtual machine at Amazon"


def credential_services(environ: Mapping[str, str], region: str) -> list[str]:
    """Return the URLs that the client library may ask for a role's credentials: its own, and those of variables."""
    given = (environ.get(name, "").strip() for name in _SERVICES)
    return [f"https://sts.{region}.amazonaws.com", *_METADATA, *filter(None, given)]


def _pair(names: Sequence[str], access: Secret, secret: Secret, token: Secret) -> dict[str, Any]:
    """Return a pair of keys as the client library takes it; nothing where there is none.

    Raises:
        StoreError: one of the two is missing, or no header takes it.
    """
    given = [bool(each.reveal()) for each in (access, secret)]
    if not any(given):
        return {}
    if not all(given):
        raise StoreError(f"{names[given.index(False)]} is not set, {names[given.index(True)]} is", lasting=True)
    for name, value in zip(names, (access, secret, token), strict=True):
        check_credential(name, value.reveal())

    def provide() -> Mapping[str, Any]:
        return {
            "access_key_id": access.reveal(),
            "secret_access_key": secret.reveal(),
            "token": token.reveal() or None,
            "expires_at": None,
        }

    return {"credential_provider": provide}


def _role(environ: Mapping[str, str]) -> bool:
    """Return whether the environment names a role: by a token of an identity provider, or of a container service.

    Raises:
        StoreError: half of it.
    """
    if file := environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
        if not environ.get("AWS_ROLE_ARN"):
            raise StoreError("AWS_WEB_IDENTITY_TOKEN_FILE is set, AWS_ROLE_ARN is not", lasting=True)
        if not Path(file).is_file():
            raise StoreError("the file that AWS_WEB_IDENTITY_TOKEN_FILE names is not there", lasting=True)
        return True
    return any(environ.get(f"AWS_CONTAINER_CREDENTIALS_{kind}_URI") for kind in ("RELATIVE", "FULL"))


def _on_ec2(environ: Mapping[str, str], vendor: Path) -> bool:
    if environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return False
    try:
        return "Amazon EC2" in vendor.read_text("utf-8", "replace")
    except OSError:
        return False
