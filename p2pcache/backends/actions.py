"""The Actions cache of GitHub's runners: packs of entries that jobs which never meet leave for each other."""

from __future__ import annotations

from p2pcache.backends import Backend, Reach

BACKEND = Backend(
    name="actions",
    detail="actions",
    title="the Actions cache",
    implementation="p2pcache.stores.actions.pack_tier:open_tier",
    examination="p2pcache.doctor.actions_examination:examine",
    reach=Reach.ANYWHERE,
    look_up=0.0,
    droppable=False,
)
