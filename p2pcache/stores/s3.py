"""The tier of the backend s3: settings and environment in, an `object_driver.ObjectDriver` out."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from p2pcache import __version__, values
from p2pcache.backends.s3 import BACKEND
from p2pcache.cache.tiers import Opening
from p2pcache.settings import environment, unset_empty
from p2pcache.stores.s3_credentials import AMBIENT, credentials
from p2pcache.stores.store_tier import StoreTier
from p2pcache.values import BucketName

_log = logging.getLogger(__name__)

AMAZONS_REGION = "us-east-1"
"""Where Amazon looks for a bucket of unknown region; other stores take it for whichever they have."""
CONNECT_SECONDS, CALL_SECONDS, RETRY_SECONDS = 2, 5, 2
"""Bounds of the client library, whose own are 5, 30 and 180.

It reads the bodies of listings and of errors whole, so the second alone bounds their size.
"""
RETRIES = 1


def open_tier(opening: Opening) -> StoreTier | None:
    """Return the bucket as a tier, as `backends.s3` declares it; None, and one warning, where it cannot be had."""
    bucket: BucketName | None = opening.options["s3_bucket"]
    if bucket is None:
        _log.warning("s3: no bucket is named: set CACHE_S3_BUCKET; the cache goes on without it")
        return None
    try:
        from p2pcache.stores.object_driver import ObjectDriver
    except ImportError:
        _log.warning("s3: the package obstore is missing: pip install p2pcache[s3]; the cache goes on without it")
        return None
    options, environ = opening.options, environment()
    try:
        endpoint = options["s3_endpoint"] or _endpoint(environ)
    except ValueError:
        _log.warning("s3: AWS_ENDPOINT_URL is no http(s) URL: set CACHE_S3_ENDPOINT; the cache goes on without it")
        return None
    where = f"the bucket {bucket.name}" + (f" at {urlsplit(endpoint).hostname}" if endpoint else "")
    driver = ObjectDriver(where, lambda: _connected(bucket, endpoint, options, environ))
    return StoreTier(BACKEND, driver, opening.keyring)


def _connected(bucket: BucketName, endpoint: str, options: Mapping[str, Any], environ: Mapping[str, str]) -> Any:
    """Return a store of obstore.

    Raises:
        StoreError: there are no credentials.
    """
    from obstore.store import S3Store

    keys = credentials(options, environ)
    if not keys:  # a role, before which the library would take empty keys
        unset_empty(AMBIENT)
    # Given explicitly, what is said here beats the variables that the library reads for itself.
    place = {"aws_endpoint_url_s3": endpoint} if endpoint else {"virtual_hosted_style_request": "." not in bucket.name}
    return S3Store(
        bucket.name,
        prefix="/".join(filter(None, (bucket.folder, options["s3_prefix"]))) or None,
        region=options["s3_region"] or _region(environ),
        client_options={
            "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
            "timeout": timedelta(seconds=CALL_SECONDS),
            "allow_http": endpoint.startswith("http:"),
            "user_agent": f"p2pcache/{__version__}",
        },
        retry_config={
            "max_retries": RETRIES,
            "retry_timeout": timedelta(seconds=RETRY_SECONDS),
            "backoff": {
                "init_backoff": timedelta(milliseconds=50),
                "max_backoff": timedelta(milliseconds=500),
                "base": 2,
            },
        },
        **place,
        **keys,
    )


def _endpoint(environ: Mapping[str, str]) -> str:
    return values.endpoint(environ.get("AWS_ENDPOINT_URL_S3") or environ.get("AWS_ENDPOINT_URL") or "")


def _region(environ: Mapping[str, str]) -> str:
    return environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or AMAZONS_REGION
