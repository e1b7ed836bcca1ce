"""``p2pcache serve``: a node in the foreground, until a signal stops it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Mapping

import uvloop

from p2pcache.commands.console import fail, quiet_log, settings_or_exit
from p2pcache.commands.log_format import JsonLines, TextLines
from p2pcache.gateway import request_log
from p2pcache.gateway.listen import ListenError
from p2pcache.keys import with_secret
from p2pcache.listening import activated
from p2pcache.node import Node
from p2pcache.runner import watch
from p2pcache.service_manager import ServiceManager
from p2pcache.settings import LogFormat, ManagerSettings, Settings, SettingsError, environment, hide
from p2pcache.unknown import unknown, unused

STOPS = (signal.SIGTERM, signal.SIGINT)
HANDLED = (*STOPS, signal.SIGHUP)


def serve(flags: Mapping[str, str]) -> None:
    """Run until SIGTERM or SIGINT; exit 2 on settings that cannot be used, 1 on a gateway address that is taken."""
    _receive_secrets(flags.get("secrets_fd", ""))
    settings = settings_or_exit({**quiet_log(), **flags})
    configure_log(settings)
    try:
        settings, hint = with_secret(settings)
        _log_ignored(settings)
        given = ManagerSettings.take()
        uvloop.run(_serve(activated(settings, given.descriptors), hint, ServiceManager(given.notify)))
    except SettingsError as error:
        fail(str(error), 2)
    except ListenError as error:
        fail(str(error))


def _log_ignored(settings: Settings) -> None:
    if settings.secrets_fd is not None:
        return  # a supervised node may start many times; the command that started it has logged this
    log = logging.getLogger("p2pcache")
    if strange := unknown(environment()):
        log.log(logging.WARNING if strange.mistaken else logging.INFO, "%s", strange.sentence)
    if sentence := unused(environment(), settings.backends):
        log.warning("%s", sentence)


def _receive_secrets(descriptor: str) -> None:
    """Make this process opaque to others, and receive the secret variables from the supervisor."""
    watch.conceal()
    if descriptor:
        try:
            hide(watch.received(int(descriptor)))
        except (OSError, ValueError) as error:
            fail(f"--secrets-fd: the supervisor gives nothing: {error}")


def configure_log(settings: Settings, *, dated: bool = True) -> None:
    """Log to stderr, text `dated` with UTC time and level; of libraries only warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if settings.log_format is LogFormat.JSON else TextLines(dated=dated))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("p2pcache").setLevel(settings.log_level.upper())
    if settings.log_requests:
        request_log.log.setLevel(logging.DEBUG)


async def _serve(settings: Settings, hint: str, manager: ServiceManager) -> None:
    node = await Node.of(settings)
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    handled = HANDLED if node.settings.hub else STOPS  # a member's terminal ends it by SIGHUP
    for number in handled:
        loop.add_signal_handler(number, signals.put_nowait, number)
    terminal = os.isatty(sys.stderr.fileno())
    try:
        async with node:
            logging.getLogger("p2pcache").info("gateway at %s and %s", node.address, node.socket)
            if node.listening and (node.settings.hub or node.settings.gateway_host):
                node.listening.log_exposure()
            if hint:
                logging.getLogger("p2pcache").info("%s", hint)
            if node.alone:
                logging.getLogger("p2pcache").warning("%s", node.alone)
            # The objects made so far are permanent: exclude them from every later collection.
            gc.collect()
            gc.freeze()
            manager.ready()
            while (await signals.get()) == signal.SIGHUP and os.isatty(sys.stderr.fileno()) == terminal:
                manager.reloading()
                node.reload()
                manager.ready()
            manager.stopping()
    finally:
        for number in handled:
            loop.remove_signal_handler(number)
