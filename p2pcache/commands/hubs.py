"""The search for the host's hub, for a node without a configured one; the same as the Action's."""

from __future__ import annotations

import msgspec

from p2pcache.commands.console import note, progress
from p2pcache.keys import keyring_of
from p2pcache.runner import evidence
from p2pcache.runner.bootstrap import Target, resolve
from p2pcache.runner.network import decide
from p2pcache.settings import Settings

CONNECT_SECONDS = 3.0
"""How long a command waits for its node to join the swarm."""


def with_hub(settings: Settings) -> Settings:
    """Return the settings with the host's hub as bootstrap peer, if none is configured and one answers.

    Raises:
        SettingsError: as `keyring_of`.
    """
    _, alone = keyring_of(settings)
    if alone or settings.hub or settings.bootstrap:
        return settings
    seen = evidence.collect()
    with progress("looking for a hub on this host"):
        found = resolve((Target(peer_id=settings.hub_peer_id),), decide(seen), seen)
    if not found.reachable:
        return settings
    note(found.sentence)
    return msgspec.structs.replace(settings, bootstrap=found.multiaddrs)
