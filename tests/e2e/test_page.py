"""The page of a hub as people see it: in a real browser, while real nodes work."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from p2pcache.cache.sealing import generate_secret
from p2pcache.hub import page_live
from p2pcache.node import Node
from p2pcache.settings import Listen, Secret, Settings
from p2pcache.testing import StandIn
from tests.support.browser import PROGRAM, Tab, chromium

pytestmark = pytest.mark.needs(PROGRAM)

SCREENSHOTS = Path(__file__).parent / "screenshots"
DESKTOP, PHONE = (1440, 900), (390, 844)
JOB = "ghs_job"
LIVE = "document.documentElement.dataset.link === 'live'"
NUMBER = "document.querySelector('.number').textContent"
SECONDS = 30.0
PATHS = [f"/repos/octo/app{rest}" for rest in ("", "/issues", "/releases", "/labels", "/issues/1", "/issues/2")]


@asynccontextmanager
async def node(github: StandIn, directory: Path, secret: str, *bootstrap: str, **settings: Any) -> AsyncIterator[Node]:
    made = Node(
        Settings(
            upstream=github.url,
            directory=directory,
            socket=directory / "s",
            secrets=(Secret(secret),),
            token=Secret(JOB),
            job_token=Secret(JOB),
            repository="octo/app",
            in_actions=True,
            listen=Listen(),
            p2p_listen="/ip4/127.0.0.1/tcp/0",
            bootstrap=bootstrap,
            **settings,
        )
    )
    async with made:
        await made.settled(SECONDS)
        yield made


class Fleet:
    """A hub with a page, two members, and clients."""

    def __init__(self, github: StandIn, hub: Node, members: list[Node]) -> None:
        self.github = github
        self.hub = hub
        self.members = members
        self.page = f"{hub.address}/-/"

    async def work(self, rounds: int = 1) -> None:
        """Have every client ask for the same, so that the hub saves some calls and gives some answers to members."""
        async with aiohttp.ClientSession(headers={"Authorization": f"token {JOB}"}) as session:
            for _ in range(rounds):
                for each in (self.hub, *self.members):
                    for path in PATHS:
                        async with session.get(each.address + path) as answer:
                            await answer.read()


@pytest.fixture
async def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Fleet]:
    monkeypatch.setattr(page_live, "SAMPLE_SECONDS", 0.5)
    async with StandIn() as github, AsyncExitStack() as nodes:
        github.populate()
        github.token(JOB, repos=["octo/app"], kind="installation")
        secret = generate_secret()
        hub = await nodes.enter_async_context(node(github, tmp_path / "hub", secret, hub=True))
        joining = (node(github, tmp_path / f"m{i}", secret, hub.multiaddrs[0]) for i in range(2))
        members = [await nodes.enter_async_context(each) for each in joining]
        yield Fleet(github, hub, members)


@pytest.fixture
async def tab(tmp_path: Path) -> AsyncIterator[Tab]:
    async with chromium(tmp_path / "profile") as new, new() as tab:
        yield tab


async def seen(tab: Tab, page: str, size: tuple[int, int] = DESKTOP, theme: str = "light") -> None:
    await tab.look(*size, theme)
    await tab.open(page)
    await tab.until(LIVE)


async def test_it_changes_without_being_loaded_again(fleet: Fleet, tab: Tab) -> None:
    await seen(tab, fleet.page)
    await tab.run("window.same = true")
    assert await tab.run(NUMBER) == "0"
    await tab.screenshot(SCREENSHOTS / "empty.png")
    await fleet.work(rounds=3)
    await tab.until(f"Number({NUMBER}) >= 12")
    assert await tab.run("window.same"), "the page was loaded again"
    assert await tab.run("document.title") == f"{await tab.run(NUMBER)} API calls saved · p2pcache"
    await tab.until("document.querySelectorAll('#peers g.peer').length === 2")
    await tab.until("!!document.querySelector('.hour .line')")
    assert await tab.run("document.querySelectorAll('#quota li').length") >= 1


async def test_it_fetches_nothing_from_elsewhere_and_complains_of_nothing(fleet: Fleet, tab: Tab) -> None:
    await seen(tab, fleet.page)
    await fleet.work(rounds=2)
    await tab.until(f"Number({NUMBER}) >= 6")
    own = {url for url in tab.requests() if not url.startswith("data:")}
    assert own == {fleet.page, f"{fleet.page}events"}
    assert tab.complaints() == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_it_can_be_read_in_both_themes_and_sizes(
    fleet: Fleet, tab: Tab, theme: str, size: tuple[int, int]
) -> None:
    await seen(tab, fleet.page, size, theme)
    await fleet.work(rounds=2)
    await tab.until(f"Number({NUMBER}) >= 6")
    await tab.until("!!document.querySelector('.hour .line')")
    await tab.run("document.getAnimations().forEach(each => each.finish && each.cancel())")
    assert await tab.run("document.documentElement.scrollWidth") <= size[0], "it has to be scrolled sideways"
    brightness = await tab.run(f"({LUMINANCE})(getComputedStyle(document.body).backgroundColor)")
    assert (brightness > 0.5) is (theme == "light")
    assert await tab.run(CONTRAST) == [], "text that cannot be read (WCAG 2.2, 1.4.3)"
    await tab.screenshot(SCREENSHOTS / f"{theme}-{size[0]}.png", whole=size == PHONE)


LUMINANCE = """colour => {
  const context = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d');
  context.fillStyle = colour; context.fillRect(0, 0, 1, 1);
  const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map(n => n / 255)
    .map(n => n <= 0.04045 ? n / 12.92 : ((n + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}"""
CONTRAST = f"""(() => {{
  const luminance = {LUMINANCE}, bad = [];
  const under = element => {{
    for (let each = element; each; each = each.parentElement) {{
      const colour = getComputedStyle(each).backgroundColor;
      if (!/, 0\\)|\\/ 0\\)|transparent/.test(colour) && !/rgba|\\/ /.test(colour)) return colour;
    }}
    return getComputedStyle(document.body).backgroundColor;
  }};
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {{
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || ['SCRIPT', 'title'].includes(element.tagName)) continue;
    const drawn = element.tagName === 'text', style = getComputedStyle(element);
    const self = element.matches('.peers .name') && document.querySelector('.self');
    const ground = self ? getComputedStyle(self).fill : under(element);
    const [a, b] = [luminance(drawn ? style.fill : style.color), luminance(ground)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) bad.push([walker.currentNode.data.trim(), Math.round(ratio * 100) / 100]);
  }}
  return bad;
}})()"""


async def test_what_it_shows_can_be_heard(fleet: Fleet, tab: Tab) -> None:
    await fleet.work(rounds=2)
    await seen(tab, fleet.page)
    nodes = (await tab("Accessibility.getFullAXTree"))["nodes"]
    named = [(each["role"]["value"], each.get("name", {}).get("value", "")) for each in nodes if not each["ignored"]]
    for role, name in named:
        if role in ("image", "img", "button", "radio", "link", "region", "group", "DisclosureTriangle"):
            assert name or role == "group", role
    images = [name for role, name in named if role in ("image", "img")]
    assert any(name.startswith("Peers around this hub: 2 members") for name in images)
    assert any(name.startswith("Answers by tier: memory") for name in images)
    assert any(name.startswith("Hit rate over the last 2 min") for name in images)
    headings = "[...document.querySelectorAll('h1, h2, h3')].map(each => each.tagName + ' ' + each.textContent)"
    assert await tab.run(headings) == [
        "H1 p2pcache hub",
        "H2 Saved so far",
        "H3 Hit rate",
        *(f"H2 {name}" for name in ("Peers", "Answered by", "Busiest routes", "Quota", "Last errors")),
    ]
    assert len([role for role, _ in named if role == "heading"]) == 8


async def test_a_keyboard_is_enough(fleet: Fleet, tab: Tab) -> None:
    await fleet.work()
    await seen(tab, fleet.page)
    for kind in ("rawKeyDown", "keyUp"):
        await tab("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
    assert await tab.run("document.activeElement.value") == "hour"
    for kind in ("rawKeyDown", "keyUp"):
        await tab("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight", windowsVirtualKeyCode=39)
    assert await tab.run("getComputedStyle(document.querySelector('.chart.day')).display") == "flex"
    assert await tab.run("getComputedStyle(document.querySelector('.chart.hour')).display") == "none"
    before = await tab.run(NUMBER)
    await fleet.work()
    await tab.until(f"{NUMBER} !== {json.dumps(before)}")
    assert await tab.run("document.activeElement.value") == "day", "what was chosen has to outlive a change"


async def test_nothing_moves_for_those_who_asked_for_that(fleet: Fleet, tab: Tab) -> None:
    await tab.look(*DESKTOP, prefers_reduced_motion="reduce")
    await tab.open(fleet.page)
    await tab.until(LIVE)
    assert await tab.run("document.getAnimations().length") == 0


async def test_it_has_the_numbers_without_a_script(fleet: Fleet, tab: Tab) -> None:
    await fleet.work(rounds=2)
    await tab("Emulation.setScriptExecutionDisabled", value=True)
    await tab.look(*DESKTOP)
    await tab.open(fleet.page)
    assert int(await tab.run(NUMBER)) >= 6
    assert await tab.run("document.documentElement.dataset.link") is None, "the script ran"
    assert tab.requests().count(fleet.page) == 1
    await tab.screenshot(SCREENSHOTS / "without-scripts.png")


async def test_it_says_what_is_wrong(fleet: Fleet, tab: Tab) -> None:
    await fleet.work(rounds=2)
    await seen(tab, fleet.page)
    await fleet.github.__aexit__(None, None, None)
    async with aiohttp.ClientSession(fleet.hub.address) as session, session.get("/repos/octo/app/milestones") as answer:
        assert answer.status == 502
    await tab.until("!!document.querySelector('#health.degraded')")
    assert "cannot be reached" in await tab.run("document.querySelector('#health').textContent")
    await tab.screenshot(SCREENSHOTS / "degraded.png")
    await fleet.hub.stop()
    await tab.until("document.documentElement.dataset.link === 'lost'")
    assert "connection lost" in await tab.run("document.querySelector('#link').textContent")
    await tab.screenshot(SCREENSHOTS / "lost.png")


async def test_it_comes_back_by_itself(fleet: Fleet, tab: Tab) -> None:
    await seen(tab, fleet.page)
    await fleet.hub._addons._page.close()
    await tab.until("document.documentElement.dataset.link === 'lost'")
    fleet.hub._addons._page._closed, fleet.hub._addons._page._live = False, None
    await tab.until(LIVE)
