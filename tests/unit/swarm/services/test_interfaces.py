"""The addresses of this machine."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import sys
from pathlib import Path

import pytest

from p2pcache.swarm.services.interfaces import interfaces


def test_interfaces_of_this_machine() -> None:
    found = interfaces()
    assert "127.0.0.1" in found
    assert all(ipaddress.ip_address(each) for each in found)


def test_interfaces_without_ipv6(tmp_path: Path) -> None:
    assert all(":" not in each for each in interfaces(tmp_path / "absent"))


def test_an_interface_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "if_nameindex", lambda: [(99, "nosuch0")])
    assert all(":" in each for each in interfaces())


def test_where_linuxs_calls_are_not_there_the_same_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    here = interfaces()
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delattr(fcntl, "ioctl")
    assert set(interfaces()) == set(here)
