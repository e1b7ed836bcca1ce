"""An IPFS daemon (Kubo) and trustless gateways."""

from __future__ import annotations

from p2pcache.backends import Backend, Reach
from p2pcache.options import Setting

DEFAULT_API = "http://127.0.0.1:5001"

BACKEND = Backend(
    name="ipfs",
    detail="ipfs",
    title="IPFS",
    implementation="p2pcache.stores.ipfs.ipfs_driver:open_tier",
    examination="p2pcache.doctor.ipfs_examination:examine",
    reach=Reach.ANYWHERE,
    look_up=0.01,
    droppable=False,
    settings=(
        Setting(
            "ipfs_api",
            "The RPC of the Kubo daemon that keeps entries.",
            f"an http(s) URL or a TCP multiaddr, e.g. {DEFAULT_API} or /ip4/127.0.0.1/tcp/5001",
            variables=("CACHE_IPFS_API", "IPFS_API"),
            input="ipfs-api",
            otherwise=f"{DEFAULT_API}; none where a gateway is given",
            parse="ipfs_api",
        ),
        Setting(
            "ipfs_token",
            "The token of the daemon's `API.Authorizations`.",
            "a token",
            variables=("CACHE_IPFS_TOKEN",),
            otherwise="none",
            secret=True,
            parse="secret",
        ),
        Setting(
            "ipfs_gateways",
            "Trustless gateways to read what the daemon lacks, or without a daemon everything.",
            "http(s) URLs without credentials or query, separated by commas, e.g. https://trustless-gateway.link",
            variables=("CACHE_IPFS_GATEWAY",),
            input="ipfs-gateway",
            otherwise="none",
            parse="urls",
        ),
        Setting(
            "ipfs_pin_service",
            "What the daemon calls the pinning service that is to keep blocks too.",
            "a name, as `ipfs pin remote service ls` lists it",
            variables=("CACHE_IPFS_PIN_SERVICE",),
            otherwise="none",
            parse="service_name",
        ),
    ),
)
