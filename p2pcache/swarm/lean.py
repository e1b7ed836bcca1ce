"""Load of py-libp2p only what is used.

`import libp2p` brings QUIC, WebRTC, TLS, WebSockets and more: 90 MB and up to 3 s, and needs fastecdsa, which has no
wheel for any Python and a compiler and libgmp to build. All of that hangs on three `__init__` files. With empty
packages in their place the parts `host` uses load in a third of the time and 55 MB. It also keeps py-libp2p's own
logging set-up from running.

Keys on the curve secp256k1 need coincurve, which has no wheel for Python 3.14. Members' keys are Ed25519: a module
that refuses the others takes the place of the one that imports it, on every Python.
"""

from __future__ import annotations

import importlib.machinery
import logging
import sys
import types
from pathlib import Path
from typing import NoReturn

BUNDLED = Path(__file__).with_name("bundled")
"""Where a wheel has libp2p (release/hatch_build.py); without it, it is installed."""
_PACKAGES = ("libp2p", "libp2p.transport", "libp2p.network")
_SECP256K1 = "libp2p.crypto.secp256k1"


class RefusedKey:
    """Stands for both classes of secp256k1 keys, of which py-libp2p's deserializer takes `from_bytes`."""

    @classmethod
    def from_bytes(cls, _data: bytes) -> NoReturn:
        """Refuse the key.

        Raises:
            ValueError: always.
        """
        raise ValueError("keys on secp256k1 are not supported: a peer's key is an Ed25519 one")


def install() -> None:
    """Put the empty packages and the refusal in place, unless the process has libp2p already.

    Raises:
        ModuleNotFoundError: libp2p is not installed.
    """
    logger = logging.getLogger("libp2p")
    logger.addHandler(logging.NullHandler())
    logger.propagate = False  # it logs as errors what any peer can provoke
    logger.setLevel(logging.CRITICAL)  # and formats a line for every frame
    if "libp2p" in sys.modules:
        return
    spec = importlib.machinery.PathFinder.find_spec("libp2p", [str(BUNDLED), *sys.path])
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("libp2p is not installed", name="libp2p")
    for name in _PACKAGES:
        below = name.removeprefix("libp2p").replace(".", "/")
        package = types.ModuleType(name)
        package.__path__ = [path + below for path in spec.submodule_search_locations]
        package.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        sys.modules[name] = package
    keys = types.ModuleType(_SECP256K1)
    vars(keys).update(Secp256k1PublicKey=RefusedKey, Secp256k1PrivateKey=RefusedKey)
    sys.modules[_SECP256K1] = keys
