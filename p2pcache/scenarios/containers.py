"""Where the processes of a scenario run, in containers: Docker's command line, an image, places in networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import p2pcache
from p2pcache.scenarios.places import WORKER, MissingError, UnexpectedError, finished, last_line, ordered, output_of
from p2pcache.settings import environment

COMMAND_SECONDS = 60.0
BUILD_SECONDS = 900.0
LABEL = "p2pcache.scenarios"
IMAGE = f"p2pcache:{p2pcache.__version__}"
_CHECKOUT = Path(p2pcache.__file__).parents[1]


class DockerError(UnexpectedError):
    """A docker command failed."""


async def docker(*arguments: str, seconds: float = COMMAND_SECONDS, variables: Mapping[str, str] | None = None) -> str:
    """Return what a docker command prints.

    Raises:
        DockerError: it failed, took too long, or is not installed.
    """
    try:
        given = {**environment(), **(variables or {})}
        code, out, err = await output_of(("docker", *arguments), seconds=seconds, env=given)
    except TimeoutError:
        raise DockerError(f"docker {arguments[0]}: no result within {seconds:g} s") from None
    except OSError as error:
        raise DockerError(f"docker cannot be started: {error.strerror}") from None
    if code:
        raise DockerError(f"docker {arguments[0]}: {last_line(err)}")
    return out.decode().strip()


async def usable_image(given: str, progress: Callable[[str], None]) -> str:
    """Return the image to run: `given`, else that of this version, which is built where there is a checkout.

    Raises:
        MissingError: there is no Docker engine, or no image.
    """
    try:
        await docker("version", "--format", "{{.Server.Version}}", seconds=20)
    except DockerError as error:
        raise MissingError(
            f"no Docker engine answers ({error}): install one (https://docs.docker.com/engine/install/), or start it"
        ) from None
    image = given or IMAGE
    if await _is_there(image):
        return image
    if given:
        raise MissingError(f"there is no image {given} on this machine: docker pull {given}")
    if not (_CHECKOUT / "Dockerfile").is_file():
        raise MissingError(f"there is no image {IMAGE}: run `docker build -t {IMAGE} .` in a checkout, or give --image")
    progress(f"building the image {IMAGE}, which takes a few minutes once")
    try:
        await docker("build", "-q", "-t", IMAGE, str(_CHECKOUT), seconds=BUILD_SECONDS)
    except DockerError as error:
        raise MissingError(f"the image cannot be built: {error}: give another one by --image") from None
    return IMAGE


async def _is_there(image: str) -> bool:
    try:
        await docker("image", "inspect", "--format", "{{.Id}}", image)
    except DockerError:
        return False
    return True


class Seat(NamedTuple):
    """Where a container is.

    Attributes:
        network: as ``docker run --network`` takes it.
        binds: the address that it listens on.
        reached: the address or name by which the others reach it.
    """

    network: str
    binds: str
    reached: str


class Containers:
    """Processes that are a container each, all removed when it is left.

    Args:
        image: has this version of the package.
        run: a name of this run alone, on whatever is made.
        seats: gives each container its place, by its name.
        network: the name of a network that is made and removed with them; none by default.
    """

    def __init__(self, image: str, run: str, seats: Callable[[str], Seat], network: str = "") -> None:
        self._image = image
        self._run = run
        self._seats = seats
        self._network = network

    async def __aenter__(self) -> Self:
        try:
            if self._network:
                await finished(docker("network", "create", "--label", f"{LABEL}={self._run}", self._network))
        except BaseException:
            await finished(self._remove())
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        await finished(self._remove())

    async def _remove(self) -> None:
        """Remove all that has the label of this run."""
        for kind, remove in ((("ps", "-a"), ("rm", "-f")), (("network", "ls"), ("network", "rm"))):
            if made := (await docker(*kind, "-q", "--filter", f"label={LABEL}={self._run}")).split():
                await docker(*remove, *made)

    def path(self, name: str, file: str) -> str:  # noqa: ARG002 - each has a file system of its own
        """See `places.Site`."""
        return f"/tmp/{file}"  # noqa: S108 - of a container

    def binds(self, name: str) -> str:
        """See `places.Site`."""
        return self._seats(name).binds

    def reached(self, name: str) -> str:
        """See `places.Site`."""
        return self._seats(name).reached

    def _id(self, name: str) -> str:
        return f"{self._run}-{name}"

    async def start(self, name: str, module: Sequence[str], variables: Mapping[str, str]) -> None:
        """See `places.Site`."""
        seat = self._seats(name)
        # A name resolves in networks that users made alone, and an alias is refused in the others.
        alias = ("--network-alias", name) if seat.network == self._network else ()
        passed = [part for variable in variables for part in ("-e", variable)]  # values are in no command line
        command = ("run", "-d", "--pull", "never", "--name", self._id(name), "--label", f"{LABEL}={self._run}")
        where = ("--network", seat.network, *alias, *passed, "--entrypoint", "python", self._image, "-m", *module)
        await finished(docker(*command, *where, variables=variables))

    async def order(self, name: str, do: str, **arguments: Any) -> Any:
        """See `places.Site`."""
        command = ("docker", "exec", "-i", self._id(name), "python", "-m", WORKER)
        try:
            return await ordered(command, {"do": do, **arguments}, environment())
        except UnexpectedError as error:
            raise UnexpectedError(f"{name}: {await self._why(name, str(error))}") from None

    async def _why(self, name: str, otherwise: str) -> str:
        """Return why an order failed: what a container printed last that has ended."""
        if "No module named" in otherwise:
            return f"{self._image} is of another version: build one from this one's checkout, or give --image"
        if await docker("inspect", "--format", "{{.State.Running}}", self._id(name)) == "true":
            return otherwise
        logs = ("docker", "logs", "--tail", "5", self._id(name))
        _, out, err = await output_of(logs, seconds=COMMAND_SECONDS, env=environment())
        return f"it ended: {last_line(err or out)}"

    async def stop(self, *names: str) -> None:
        """See `places.Site`."""
        if names:
            await docker("stop", "-t", "10", *map(self._id, names))


async def bridge_address() -> str:
    """Return the host's address on the default bridge.

    Raises:
        MissingError: there is no such network, or it has no address.
    """
    try:
        found = await docker("network", "inspect", "bridge", "--format", "{{range .IPAM.Config}}{{.Gateway}} {{end}}")
    except DockerError as error:
        raise MissingError(f"there is no default bridge: {error}") from None
    if not (addresses := found.split()):
        raise MissingError("the default bridge has no address of the host: does the engine run with --bridge none?")
    return addresses[0]
