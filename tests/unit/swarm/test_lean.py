"""Loading little of py-libp2p."""

from __future__ import annotations

import importlib.machinery
import sys

import pytest

from p2pcache.swarm import lean


def test_a_process_that_has_libp2p_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libp2p", sys)
    lean.install()
    assert sys.modules["libp2p"] is sys


def test_without_libp2p_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "libp2p", raising=False)
    monkeypatch.setattr(importlib.machinery.PathFinder, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="libp2p is not installed"):
        lean.install()


def test_empty_packages_stand_in_for_the_heavy_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "libp2p"]:
        monkeypatch.delitem(sys.modules, name)
    lean.install()
    for name in ("libp2p", "libp2p.transport", "libp2p.network"):
        assert not hasattr(sys.modules[name], "__file__")
        assert sys.modules[name].__path__[0].endswith(name.replace(".", "/"))
