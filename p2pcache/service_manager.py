"""What a node reports to the service manager that started it, by the protocol of sd_notify(3)."""

from __future__ import annotations

import logging
import socket
import time

log = logging.getLogger("p2pcache")


class ServiceManager:
    """systemd, or another manager with its protocol; without one nothing is sent.

    Args:
        address: the path of its datagram socket, or ``@`` and an abstract name; "" for none.
    """

    def __init__(self, address: str) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def ready(self) -> None:
        """The node is started, or has read its files again."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The node reads its files again; `ready` follows."""
        # systemd 253 and later match this with the reload that they asked for by its time (Type=notify-reload).
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The node ends."""
        self._send("STOPPING=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:
            log.warning("the service manager cannot be reached (NOTIFY_SOCKET): %s", error.strerror)
