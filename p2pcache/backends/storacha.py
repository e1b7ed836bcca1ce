"""Storacha, which ended: its name and its variables give a sentence, and no request is made."""

from __future__ import annotations

from p2pcache.backends import Backend, Reach
from p2pcache.options import Setting

BACKEND = Backend(
    name="storacha",
    detail="storacha",
    title="Storacha",
    implementation="",
    reach=Reach.ANYWHERE,
    look_up=0.0,
    droppable=False,
    settings=(
        Setting(
            "storacha",
            "Of Storacha, which ended: ignored; a line of the log names what stands in for it.",
            "anything",
            variables=("CACHE_STORACHA_URL", "CACHE_STORACHA_SPACE", "CACHE_STORACHA_SECRET", "WEB3_STORAGE_TOKEN"),
            otherwise="none",
            secret=True,
            parse="secret",
        ),
    ),
    ended="the service ended on 2026-05-31, and no request is made to it: use s3, or ipfs with a pinning service "
    "(CACHE_IPFS_PIN_SERVICE) and a gateway (CACHE_IPFS_GATEWAY), see docs/ipfs.md",
)
