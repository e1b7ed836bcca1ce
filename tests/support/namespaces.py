"""Network namespaces for tests; nothing of one outlives the process that made it, however that ends."""

from __future__ import annotations

import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from tests.support.forks import enter


class Namespace:
    """Held by a process that ends at the end of its input: the kernel takes its devices and addresses back then."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._holder.stdin
        assert self._holder.stdout
        self._input, self._output = self._holder.stdin, self._holder.stdout
        self._input.write(b"in\n")
        self._input.flush()
        assert self._output.readline() == b"in\n"
        self.ip("link", "set", "lo", "up")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._input.close()
        self._output.close()
        self._holder.wait(20)

    @property
    def path(self) -> Path:
        return Path(f"/proc/{self._holder.pid}/ns/net")

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words that run a command there."""
        return ("nsenter", f"--net={self.path}")

    def ip(self, *words: str) -> None:
        subprocess.run([*self.prefix, "ip", *words], check=True, capture_output=True)

    def cable(self, device: str, address: str, other: Namespace, device_there: str, address_there: str) -> None:
        """Lay a cable to another namespace; addresses as ``10.0.0.1/24``."""
        there = ("peer", "name", device_there, "netns", str(other._holder.pid))
        self.ip("link", "add", device, "type", "veth", *there)
        for namespace, name, own in ((self, device, address), (other, device_there, address_there)):
            namespace.ip("addr", "add", own, "dev", name)
            namespace.ip("link", "set", name, "up")

    def listen(self, host: str) -> socket.socket:
        """A socket of this process that listens on a free port there."""

        def there() -> socket.socket:
            enter(self.path)
            return socket.create_server((host, 0))

        with ThreadPoolExecutor(1) as thread:  # a thread of its own is in the namespace, not this one
            return thread.submit(there).result()
