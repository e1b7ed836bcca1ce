"""One SQLite file, which several processes of a host may share."""

from __future__ import annotations

from p2pcache.backends import Backend, Reach
from p2pcache.options import BYTES, Setting

BACKEND = Backend(
    name="disk",
    detail="disk",
    title="this node's disk",
    implementation="p2pcache.cache.disk:open_tier",
    examination="p2pcache.doctor.disk_examination:examine",
    reach=Reach.HOST,
    look_up=0.001,
    default=True,
    settings=(
        Setting(
            "disk_bytes",
            "The bound of the disk store.",
            BYTES,
            variables=("CACHE_DISK_BYTES",),
            default=str(1 << 30),
            unit="bytes",
            parse="size",
        ),
    ),
)
