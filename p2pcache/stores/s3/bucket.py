"""The tier of the backend s3: settings and environment in, an `object_driver.ObjectDriver` out."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from p2pcache import __version__, values
from p2pcache.backends.s3 import BACKEND
from p2pcache.cache.tiers import Opening
from p2pcache.settings import environment, unset_empty
from p2pcache.stores.driver import StoreError
from p2pcache.stores.s3.egress_proxy import IDLE_SECONDS, egress_proxy
from p2pcache.stores.s3.s3_credentials import credential_services, credentials
from p2pcache.stores.store_tier import StoreTier
from p2pcache.values import BucketName

_log = logging.getLogger(__name__)

AMAZONS_REGION = "us-east-1"
"""Where Amazon looks for a bucket of unknown region; other stores take it for whichever they have."""
CONNECT_SECONDS, CALL_SECONDS, RETRY_SECONDS = 2, 5, 2
"""Bounds of the client library, whose own are 5, 30 and 180."""
RETRIES = 1
HONOURED = (
    "AWS_CHECKSUM_ALGORITHM",
    "AWS_REQUEST_PAYER",
    "AWS_SERVER_SIDE_ENCRYPTION",
    "AWS_SSE_BUCKET_KEY_ENABLED",
    "AWS_SSE_CUSTOMER_KEY_BASE64",
    "AWS_SSE_KMS_KEY_ID",
)
"""Variables that the client library reads by itself, beside those of credentials; a policy may ask for them."""
_NEUTRAL: Mapping[str, Any] = {
    "conditional_put": "etag",
    "copy_if_not_exists": "multipart",
    "disable_bulk_delete": False,
    "disable_tagging": False,
    "imdsv1_fallback": False,
    "s3_express": False,
    "skip_signature": False,
    "unsigned_payload": False,
}
"""The library's defaults: given explicitly, they beat the variables of these names."""
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")


def open_tier(opening: Opening) -> StoreTier | None:
    """Return the bucket as a tier, as `backends.s3` declares it; None, and one warning, where it cannot be had."""
    bucket: BucketName | None = opening.options["s3_bucket"]
    if bucket is None:
        _log.warning("s3: no bucket is named: set CACHE_S3_BUCKET; the cache goes on without it")
        return None
    try:
        from p2pcache.stores.s3.object_driver import ObjectDriver
    except ImportError:
        _log.warning("s3: the package obstore is missing: pip install obstore; the cache goes on without it")
        return None
    options, environ = opening.options, environment()
    try:
        endpoint = endpoint_of(options, environ)
    except ValueError as error:
        _log.warning("s3: %s: set CACHE_S3_ENDPOINT; the cache goes on without it", error)
        return None
    where = f"the bucket {bucket.name}" + (f" at {urlsplit(endpoint).hostname}" if endpoint else "")
    driver = ObjectDriver(where, lambda: connected(bucket, endpoint, options, environ))
    return StoreTier(BACKEND, driver, opening.keyring)


@asynccontextmanager
async def connected(
    bucket: BucketName, endpoint: str, options: Mapping[str, Any], environ: Mapping[str, str]
) -> AsyncIterator[Any]:
    """Open a store of obstore, behind a proxy that bounds what answers it.

    Raises:
        StoreError: there are no credentials, or a variable has a value that cannot be used.
    """
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    keys = credentials(options, environ)
    region = region_of(options, environ)
    unset_empty(name for name in environ if name.startswith("AWS_"))  # which the library would take for values
    by_host = _by_host(bucket, endpoint)
    place = place_of(bucket, endpoint, region)
    async with egress_proxy([place, *(() if keys else credential_services(environ, region))]) as proxy:
        try:
            store = S3Store(
                bucket.name,
                prefix="/".join(filter(None, (bucket.folder, options["s3_prefix"]))) or None,
                region=region,
                aws_endpoint_url_s3=place,
                virtual_hosted_style_request=by_host,
                client_options={
                    "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
                    "timeout": timedelta(seconds=CALL_SECONDS),
                    "allow_http": place.startswith("http:"),
                    "user_agent": f"p2pcache/{__version__}",
                    "http1_only": True,
                    "pool_idle_timeout": timedelta(seconds=IDLE_SECONDS / 2),  # so that the library ends them first
                    "proxy_url": proxy.url,
                    "root_certificate": proxy.certificate,
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
                **_NEUTRAL,
                **keys,
            )
        except (BaseError, ValueError):
            given = ", ".join(name for name in HONOURED if environ.get(name, "").strip())
            raise StoreError(
                f"a value cannot be used: {given or 'a setting'} (docs/s3.md#variables)", lasting=True
            ) from None
        yield store


def place_of(bucket: BucketName, endpoint: str, region: str) -> str:
    """Return the URL of the server that has the bucket."""
    if endpoint:
        return endpoint
    return f"https://{bucket.name + '.' if _by_host(bucket, endpoint) else ''}s3.{region}.amazonaws.com"


def _by_host(bucket: BucketName, endpoint: str) -> bool:
    return not endpoint and "." not in bucket.name


def endpoint_of(options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """Return the endpoint of the settings, else that of the environment; "" where neither names one, for Amazon's.

    Raises:
        ValueError: it is no URL; the message names the variable.
    """
    if options["s3_endpoint"]:
        return str(options["s3_endpoint"])
    name = _first_set(_ENDPOINTS, environ)
    try:
        return values.endpoint(environ.get(name, "").strip())
    except ValueError:
        raise ValueError(f"{name} is no http(s) URL") from None


def region_of(options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """Return the region that settings or environment name, else Amazon's own default.

    Raises:
        StoreError: it is no name of a region.
    """
    if options["s3_region"]:
        return str(options["s3_region"])
    name = _first_set(_REGIONS, environ)
    try:
        return values.region(environ.get(name, "").strip()) or AMAZONS_REGION
    except ValueError:
        raise StoreError(f"{name} is no name of a region: set CACHE_S3_REGION", lasting=True) from None


def _first_set(names: Iterable[str], environ: Mapping[str, str]) -> str:
    return next((name for name in names if environ.get(name, "").strip()), "")
