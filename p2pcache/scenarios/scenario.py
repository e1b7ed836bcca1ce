"""What a scenario is, and what those of one run have in common."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from p2pcache import files
from p2pcache.scenarios.containers import usable_image
from p2pcache.scenarios.fleet import Trial, Workload
from p2pcache.scenarios.outcome import Figures
from p2pcache.scenarios.places import Machine, MissingError, Site, UnexpectedError


@dataclass(slots=True)
class Series:
    """One run of scenarios.

    Attributes:
        load: the workload of each.
        image: the one that containers run; "" for this version's own.
        progress: is called with what happens next, in a few words.
        label: a name that no other run has.
    """

    load: Workload = field(default_factory=Workload)
    image: str = ""
    progress: Callable[[str], None] = lambda step: None  # noqa: ARG005
    label: str = field(default_factory=lambda: f"p2pcache-scenarios-{secrets.token_hex(3)}")
    _image: str | MissingError | None = None

    async def docker_image(self) -> str:
        """Return the image to run, looked for once.

        Raises:
            MissingError: it cannot be had.
        """
        if self._image is None:
            try:
                self._image = await usable_image(self.image, self.progress)
            except MissingError as error:
                self._image = error
        if isinstance(self._image, MissingError):
            raise self._image
        return self._image

    def trial(self, place: Site) -> Trial:
        """Return a scenario's trial in a place."""
        return Trial(place, self.load, self.progress)

    @contextlib.asynccontextmanager
    async def here(self) -> AsyncIterator[tuple[Trial, Machine]]:
        """Give a trial on this machine."""
        with files.socket_folder("p2pcache-scenarios-") as folder:
            async with Machine(folder) as machine:
                yield self.trial(machine), machine


@dataclass(frozen=True, slots=True)
class Scenario:
    """One way of joining.

    Attributes:
        name: as ``--only`` takes it.
        title: for people.
        shows: what it is, in a few words.
        run: really runs it; raises `MissingError` or `UnexpectedError`.
        needs: gets what may take long, as an image that has to be built.
    """

    name: str
    title: str
    shows: str
    run: Callable[[Series], Awaitable[Figures]]
    needs: Callable[[Series], Awaitable[object]] | None = None


async def joined(trial: Trial) -> Figures:
    """Run the workload of a hub's runners, and expect that they are connected and share.

    Raises:
        UnexpectedError: they do not.
    """
    await trial.start_github()
    names = await trial.start_fleet()
    await trial.connect(names)
    found = await trial.work(names)
    if found.charged >= trial.load.runners * trial.load.resources:
        raise UnexpectedError(f"the runners are connected and shared nothing: {found.charged} calls were charged")
    return found
