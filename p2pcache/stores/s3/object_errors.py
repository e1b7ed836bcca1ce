"""What an object store's errors mean: one sentence for each that its user can mend.

The codes are those of https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html, which other stores with this
API use too. The client library puts the service's answer into its message, of which no byte goes any further.
"""

from __future__ import annotations

import re

from p2pcache.http_errors import CERTIFICATE
from p2pcache.stores.driver import StoreError
from p2pcache.stores.s3 import forwarding

_ACCESS_KEY = "it does not know this access key: check AWS_ACCESS_KEY_ID, or CACHE_S3_ACCESS_KEY_ID"
_EXPIRED = "the credentials have expired: let the step that fetches them ask for a longer session"
_TOKEN = "the session token is not valid for this access key"  # noqa: S105 - a sentence
_REGION = "the bucket is in another region: set CACHE_S3_REGION"
_BUSY = "it asks for fewer requests"
_DENIED = "the credentials do not allow it (docs/s3.md#policy)"
_REDIRECTS = "it redirects, which is not followed: check CACHE_S3_ENDPOINT and CACHE_S3_REGION"
_SLOW = "no answer in time"
_UNREACHABLE = "it cannot be reached"
_BROKEN = "an answer of it was cut off or malformed"
_ROLE = "the role is not given to this job: check AWS_ROLE_ARN and the role's trust policy (docs/s3.md#credentials)"

_LASTING = {
    "InvalidAccessKeyId": _ACCESS_KEY,
    "XAdminUserNotFound": _ACCESS_KEY,
    "SignatureDoesNotMatch": "the secret access key does not belong to the access key",
    "ExpiredToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "InvalidToken": _TOKEN,
    "InvalidClientTokenId": _TOKEN,
    "RequestTimeTooSkewed": "this machine's clock is too far from the service's: set it",
    "NoSuchBucket": "there is no such bucket",
    "InvalidBucketName": "it takes no bucket of this name",
    "AuthorizationHeaderMalformed": _REGION,
    "PermanentRedirect": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "AccessDenied": _DENIED,
    "AllAccessDisabled": _DENIED,
    "ExpiredTokenException": _ROLE,
    "InvalidIdentityToken": _ROLE,
    forwarding.REDIRECTS: _REDIRECTS,
    forwarding.UNTRUSTED: CERTIFICATE,
}
_PASSING = {
    "SlowDown": _BUSY,
    "ServiceUnavailable": _BUSY,
    "TooManyRequests": _BUSY,
    forwarding.SLOW: _SLOW,
    forwarding.UNREACHABLE: _UNREACHABLE,
    forwarding.BROKEN: _BROKEN,
}
_BY_STATUS = {"301": _REGION, "401": _DENIED, "403": _DENIED}

_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_STATUS = re.compile(r"status code: ([1-5]\d\d)")
_KIND = re.compile(r"kind: (Connect|Timeout)\b")
_STS = re.compile(r"performing POST REDACTED\b")
"""The request for a role: its address has the token in it, so the library does not show it."""
_METADATA = re.compile(r"http://(?:169\.254\.169\.254|\[?fd00:ec2::254)")
_HEAD = 1 << 14
"""Characters of a message that are looked at."""


def code(error: Exception) -> str:
    """Return the service's code for an error, or else the status of its answer, or ""."""
    text = str(error)[:_HEAD]
    found = _CODE.search(text) or _STATUS.search(text)
    return found[1] if found else ""


def explained(error: Exception) -> StoreError:
    """Return what to report for an error of the client library."""
    text = str(error)[:_HEAD]
    found = code(error)
    if _METADATA.search(text):
        return StoreError("this machine has no role that gives credentials (docs/s3.md#credentials)", lasting=True)
    if found == "AccessDenied" and _STS.search(text):
        return StoreError(_ROLE, lasting=True)
    if sentence := _LASTING.get(found):
        return StoreError(sentence, lasting=True)
    if sentence := _PASSING.get(found):
        return StoreError(sentence)
    status = _STATUS.search(text)
    if status and (sentence := _BY_STATUS.get(status[1])):
        return StoreError(sentence, lasting=True)
    if status:
        return StoreError(_BUSY if status[1] in ("429", "503") else f"it answers with status {status[1]}")
    kind = _KIND.search(text)
    if kind and kind[1] == "Timeout":
        return StoreError(_SLOW)
    if "incorrectly configured region" in text:  # a redirect that names no place
        return StoreError(_REGION, lasting=True)
    return StoreError(_UNREACHABLE if kind else _BROKEN)
