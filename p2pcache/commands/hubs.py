"""The hub of this host, for a node that was not told of one: looked for where the Action looks."""

from __future__ import annotations

import msgspec

from p2pcache.commands.console import note
from p2pcache.keys import keyring_of
from p2pcache.runner import evidence
from p2pcache.runner.bootstrap import Target, resolve
from p2pcache.runner.network import decide
from p2pcache.settings import Settings

CONNECT_SECONDS = 3.0
"""How long people wait to hear whether their node joined the swarm."""


def with_hub(settings: Settings) -> Settings:
    """The settings, with the host's hub as bootstrap peer where none is named, one answers, and it can be joined.

    Raises:
        SettingsError: as `keyring_of`.
    """
    _, alone = keyring_of(settings)
    if alone or settings.hub or settings.bootstrap:
        return settings
    seen = evidence.collect()
    found = resolve((Target(peer_id=settings.hub_peer_id),), decide(seen), seen)
    if not found.reachable:
        return settings
    note(found.sentence)
    return msgspec.structs.replace(settings, bootstrap=found.multiaddrs)
