"""Which resources clients watch, and which of these a drop concerns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TypeVar

K = TypeVar("K")

MOST = 256
"""Streams at a time, of all callers."""
MOST_OF_ONE = 16
"""Streams at a time of one caller."""
MOST_URIS = 64
"""Resources of one stream."""

Changed = Callable[[str], None]


class WatchLimitError(RuntimeError):
    """There are too many watches; the message is one sentence."""


class Watches:
    """The watched resources, by the names of their topics under the node's keys.

    Args:
        names: returns a resource's topics as drops name them (`Keyring.topic_names`).
    """

    def __init__(self, names: Callable[[Sequence[str]], tuple[bytes, ...]]) -> None:
        self._names = names
        self._topics: dict[str, frozenset[bytes]] = {}
        self._streams: Counter[str] = Counter()
        self._callers: Counter[bytes] = Counter()
        self._changed: list[Changed] = []

    def subscribe(self, changed: Changed) -> Callable[[], None]:
        """Have `changed` called with each watched URI that a drop concerns; return what ends that."""
        self._changed.append(changed)
        return lambda: self._changed.remove(changed) if changed in self._changed else None

    @contextmanager
    def watching(self, caller: bytes, uris: Mapping[str, Sequence[str]]) -> Iterator[None]:
        """Watch resources for one stream of a caller; the topics of each URI are in the clear.

        Raises:
            WatchLimitError: there are too many streams, or resources.
        """
        if len(uris) > MOST_URIS:
            raise WatchLimitError(f"more than {MOST_URIS} resources at a time")
        if self._callers.total() >= MOST or self._callers[caller] >= MOST_OF_ONE:
            raise WatchLimitError("too many subscriptions at a time: end one first")
        self._callers[caller] += 1
        for uri, topics in uris.items():
            self._streams[uri] += 1
            self._topics[uri] = frozenset(self._names(topics))
        try:
            yield
        finally:
            _release(self._callers, caller)
            for uri in uris:
                _release(self._streams, uri)
                if uri not in self._streams:
                    del self._topics[uri]

    def dropped(self, topics: Collection[bytes], scope: bytes | None) -> None:
        """Publish the watched resources that a drop concerns.

        One of a single scope is about what its token may no longer read, which concerns no other caller.
        """
        if scope is not None or not self._topics:
            return
        gone = frozenset(topics)
        for uri in [uri for uri, names in self._topics.items() if not names.isdisjoint(gone)]:
            for changed in list(self._changed):
                changed(uri)


def _release(counts: Counter[K], key: K) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
