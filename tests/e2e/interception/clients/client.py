"""``client.py LIBRARY URL TOKEN``: ask twice, and print the heads of the answers."""

import asyncio
import sys
from collections.abc import Iterable

LIBRARY, URL, TOKEN = sys.argv[1:]
HEADERS = {"Authorization": f"token {TOKEN}"}


def show(status: int, headers: Iterable[tuple[str, str]]) -> None:
    print(f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers), sep="\n", end="\n\n")


def requests_() -> None:
    import requests

    for _ in range(2):
        answer = requests.get(URL, headers=HEADERS, timeout=20)
        show(answer.status_code, answer.headers.items())


def urllib_() -> None:
    from urllib.request import Request, urlopen

    for _ in range(2):
        with urlopen(Request(URL, headers=HEADERS), timeout=20) as answer:
            show(answer.status, answer.headers.items())


def httpx_() -> None:
    import httpx

    with httpx.Client(timeout=20) as client:
        for _ in range(2):
            answer = client.get(URL, headers=HEADERS)
            show(answer.status_code, answer.headers.items())


def aiohttp_() -> None:
    import aiohttp

    async def ask() -> None:
        async with aiohttp.ClientSession() as session:
            for _ in range(2):
                async with session.get(URL, headers=HEADERS) as answer:
                    show(answer.status, answer.headers.items())

    asyncio.run(ask())


def pygithub() -> None:
    import github

    # Its own retries would hide a first failure.
    client = github.Github(auth=github.Auth.Token(TOKEN), retry=None, seconds_between_requests=None)
    for _ in range(2):
        status, headers, _ = client.requester.requestJson("GET", URL)
        show(status, headers.items())


{"requests": requests_, "urllib": urllib_, "httpx": httpx_, "aiohttp": aiohttp_, "pygithub": pygithub}[LIBRARY]()
