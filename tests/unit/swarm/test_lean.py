"""Loading little of py-libp2p."""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from pathlib import Path

import pytest

from p2pcache.swarm import lean


def test_a_process_that_has_libp2p_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libp2p", sys)
    lean.install()
    assert sys.modules["libp2p"] is sys


def test_without_libp2p_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "libp2p", raising=False)
    monkeypatch.setattr(importlib.machinery.PathFinder, "find_spec", lambda *_: None)
    with pytest.raises(ModuleNotFoundError, match="libp2p is not installed"):
        lean.install()


def test_that_of_a_wheel_goes_before_one_that_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "libp2p"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "libp2p").mkdir()
    (tmp_path / "libp2p/__init__.py").touch()
    monkeypatch.setattr(lean, "BUNDLED", tmp_path)
    lean.install()
    assert list(sys.modules["libp2p.network"].__path__) == [f"{tmp_path}/libp2p/network"]


def test_empty_packages_stand_in_for_the_heavy_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "libp2p"]:
        monkeypatch.delitem(sys.modules, name)
    lean.install()
    for name in ("libp2p", "libp2p.transport", "libp2p.network"):
        assert not hasattr(sys.modules[name], "__file__")
        assert sys.modules[name].__path__[0].endswith(name.replace(".", "/"))


def test_a_key_of_a_kind_that_no_member_has_is_refused_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in {"libp2p", "coincurve"}]:
        monkeypatch.delitem(sys.modules, name)
    lean.install()
    monkeypatch.setitem(sys.modules, "coincurve", None)  # whoever imports it fails
    serialization = importlib.import_module("libp2p.crypto.serialization")
    crypto_pb2 = importlib.import_module("libp2p.crypto.pb.crypto_pb2")
    key = crypto_pb2.PublicKey(key_type=crypto_pb2.KeyType.Secp256k1, data=b"\x02" + bytes(32))
    with pytest.raises(ValueError, match="secp256k1"):
        serialization.deserialize_public_key(key.SerializeToString())
