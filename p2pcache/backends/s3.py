"""A bucket of S3 or of a store with its API, which any fleet with the secret shares at any time."""

from __future__ import annotations

from p2pcache.backends import Backend, Reach
from p2pcache.options import Setting

_KEYS = "the pair that a provider made"

BACKEND = Backend(
    name="s3",
    detail="s3",
    title="the bucket",
    implementation="p2pcache.stores.s3.bucket:open_tier",
    examination="p2pcache.doctor.s3_examination:examine",
    reach=Reach.ANYWHERE,
    look_up=0.03,
    droppable=False,
    extra="s3",
    settings=(
        Setting(
            "s3_bucket",
            "The bucket of the backend s3.",
            "the name of a bucket, e.g. example or s3://example/folder",
            variables=("CACHE_S3_BUCKET",),
            input="s3-bucket",
            otherwise="none",
            parse="bucket",
        ),
        Setting(
            "s3_prefix",
            "The folder of the bucket under which entries are kept.",
            "a path of letters, digits and -_.=, e.g. ci/p2pcache",
            variables=("CACHE_S3_PREFIX",),
            default="p2pcache",
            parse="folder",
        ),
        Setting(
            "s3_endpoint",
            "The URL of a store that is not Amazon's: R2, MinIO, Ceph.",
            "an http(s) URL without credentials or query, e.g. https://ACCOUNT.r2.cloudflarestorage.com",
            variables=("CACHE_S3_ENDPOINT",),
            input="s3-endpoint",
            otherwise="`AWS_ENDPOINT_URL_S3`, `AWS_ENDPOINT_URL`, else Amazon's",
            parse="endpoint",
        ),
        Setting(
            "s3_region",
            "The region of the bucket.",
            "the name of a region, e.g. eu-central-1",
            variables=("CACHE_S3_REGION",),
            otherwise="`AWS_REGION`, `AWS_DEFAULT_REGION`, else `us-east-1`",
            parse="region",
        ),
        Setting(
            "s3_access_key_id",
            "An access key for the bucket alone, where the job's own (`AWS_ACCESS_KEY_ID`, a role) is for others.",
            _KEYS,
            variables=("CACHE_S3_ACCESS_KEY_ID",),
            otherwise="the job's own credentials",
            secret=True,
            parse="secret",
        ),
        Setting(
            "s3_secret_access_key",
            "The secret of that access key.",
            _KEYS,
            variables=("CACHE_S3_SECRET_ACCESS_KEY",),
            otherwise="the job's own credentials",
            secret=True,
            parse="secret",
        ),
        Setting(
            "s3_session_token",
            "The session token of that access key, where it has one.",
            _KEYS,
            variables=("CACHE_S3_SESSION_TOKEN",),
            otherwise="none",
            secret=True,
            parse="secret",
        ),
    ),
)
