"""Services that fleets share: an S3 server, an IPFS daemon, the stand-in of the Actions cache."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import aiohttp

from p2pcache.scenarios.places import LOOPBACK, Machine, MissingError, UnexpectedError, finished, last_line, output_of
from p2pcache.settings import SettingsError, environment, load
from p2pcache.stores.driver import StoreError
from p2pcache.stores.s3.bucket import connected, endpoint_of
from p2pcache.testing.actions_cache import READ, WRITE, runtime_token
from p2pcache.testing.actions_cache_server import ActionsCacheServer
from p2pcache.values import ipfs_api

START_SECONDS = 60.0
EMPTY_SECONDS = 30.0
S3, IPFS = "versitygw", "ipfs"
"""The programs, as they are called on the PATH."""
ON_MAIN = runtime_token("1", {"refs/heads/main": READ | WRITE})
_S3_ENVIRONMENT = ("AWS_", "CACHE_S3_")


@contextlib.asynccontextmanager
async def bucket(machine: Machine) -> AsyncIterator[Mapping[str, str]]:
    """Give a node's variables for a bucket: that of ``CACHE_S3_BUCKET``, else one of a server on this machine.

    Raises:
        MissingError: there is neither, or the client library is not installed.
        UnexpectedError: the bucket's variables cannot be used, or what was written to it cannot be removed.
    """
    if importlib.util.find_spec("obstore") is None:
        raise MissingError("the backend s3 needs its packages: pip install 'p2pcache[s3]'")
    given = {name: value for name, value in environment().items() if name.startswith(_S3_ENVIRONMENT)}
    if given.get("CACHE_S3_BUCKET"):
        own = {**given, "CACHE_S3_PREFIX": f"p2pcache-scenarios/{secrets.token_hex(4)}"}
        try:
            load({}, own)
        except SettingsError as error:
            raise UnexpectedError(str(error)) from None
        try:
            yield own
        except UnexpectedError:
            with contextlib.suppress(UnexpectedError):  # of two reasons the first one counts
                await finished(emptied(own))
            raise
        except BaseException:
            await finished(emptied(own))
            raise
        await finished(emptied(own))
        return
    program = shutil.which(S3)
    if program is None:
        raise MissingError(
            f"no bucket is named, and no S3 server is on the PATH: set CACHE_S3_BUCKET (docs/s3.md), "
            f"or install {S3} (https://github.com/versity/versitygw)"
        )
    folder, port = machine.scratch / S3 / "buckets", _free_port()
    (folder / "scenarios").mkdir(parents=True)
    access, key = "scenarios", secrets.token_hex(16)
    listen = ("--port", f"{LOOPBACK}:{port}", "--keep-alive", "--quiet", "--health", "/health")
    keys = {"ROOT_ACCESS_KEY_ID": access, "ROOT_SECRET_ACCESS_KEY": key}
    await machine.run(S3, (program, *listen, "posix", str(folder)), keys)
    url = f"http://{LOOPBACK}:{port}"
    await _until(machine, S3, lambda: _answers(f"{url}/health"))
    yield {
        "CACHE_S3_BUCKET": "scenarios",
        "CACHE_S3_ENDPOINT": url,
        "CACHE_S3_ACCESS_KEY_ID": access,
        "CACHE_S3_SECRET_ACCESS_KEY": key,
    }


async def emptied(variables: Mapping[str, str]) -> None:
    """Remove every object below the prefix that the variables of a bucket name.

    Raises:
        UnexpectedError: that failed, and the message names the folder.
    """
    from obstore.exceptions import BaseError  # of an extra

    options = load({}, variables).options
    try:
        async with (
            asyncio.timeout(EMPTY_SECONDS),
            connected(options["s3_bucket"], endpoint_of(options, variables), options, variables) as store,
        ):
            async for page in store.list():
                await store.delete_async([found["path"] for found in page])
    except (BaseError, StoreError, OSError, TimeoutError, ValueError) as error:
        folder = f"{options['s3_bucket'].name}/{options['s3_prefix']}"
        raise UnexpectedError(f"{folder} could not be emptied: {last_line(str(error).encode())}") from None


@contextlib.asynccontextmanager
async def daemon(machine: Machine) -> AsyncIterator[Mapping[str, str]]:
    """Give a node's variables for a Kubo daemon of its own on this machine, which meets no other one.

    Raises:
        MissingError: Kubo is not installed.
    """
    program = shutil.which(IPFS)
    if program is None:
        raise MissingError(f"{IPFS} is not on the PATH: install Kubo (https://docs.ipfs.tech/install/)")
    home = machine.scratch / IPFS
    home.mkdir()
    variables = {"IPFS_PATH": str(home), "IPFS_TELEMETRY": "off"}
    own = {"HOME": str(machine.scratch), **variables}
    # The profile `test`: free ports of the loopback, no bootstrap peers, no mDNS.
    for command in (("init", "--profile=test"), ("config", "--json", "AutoConf.Enabled", "false")):
        code, _, err = await output_of((program, *command), seconds=START_SECONDS, env=own)
        if code and command[0] == "init":  # versions before 0.37 have no AutoConf
            raise UnexpectedError(f"{IPFS} init: {last_line(err)}")
    await machine.run(IPFS, (program, "daemon"), variables)

    async def ready() -> bool:
        return b"Daemon is ready" in machine.log(IPFS)

    await _until(machine, IPFS, ready)
    yield {"CACHE_IPFS_API": ipfs_api((home / "api").read_text().strip())}


@contextlib.asynccontextmanager
async def actions_cache() -> AsyncIterator[Mapping[str, str]]:
    """Give the body of ``POST /-/actions`` for a stand-in of the Actions cache."""
    async with ActionsCacheServer() as server:
        yield {"results_url": server.url, "token": ON_MAIN}


async def _until(machine: Machine, name: str, holds: Callable[[], Any]) -> None:
    try:
        async with asyncio.timeout(START_SECONDS):
            while not await holds():
                if machine.ended(name):
                    raise UnexpectedError(f"{name} ended: {last_line(machine.log(name))}")
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise UnexpectedError(f"{name} was not ready within {START_SECONDS:g} s") from None


async def _answers(url: str) -> bool:
    try:
        async with aiohttp.ClientSession() as session, session.get(url):
            return True
    except (aiohttp.ClientError, TimeoutError):
        return False


def _free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as listener:
        return int(listener.getsockname()[1])
