"""``crowd.py NUMBER PATH TOKEN``: so many connections at once, which ask once all are there; prints the statuses."""

import asyncio
import json
import ssl
import sys

NUMBER, PATH, TOKEN = int(sys.argv[1]), sys.argv[2], sys.argv[3]
HOST = "api.github.com"
REQUEST = f"GET {PATH} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: token {TOKEN}\r\nConnection: close\r\n\r\n"


async def main() -> None:
    context = ssl.create_default_context()
    connecting = (asyncio.open_connection(HOST, 443, ssl=context) for _ in range(NUMBER))
    connections = await asyncio.gather(*connecting)
    for _, writer in connections:
        writer.write(REQUEST.encode())
    heads = await asyncio.gather(*(reader.readuntil(b"\r\n\r\n") for reader, _ in connections))
    for _, writer in connections:
        writer.close()
    cached = [b"\r\ncache-status: p2pcache" in head for head in heads]
    print(json.dumps({"statuses": [int(head.split()[1]) for head in heads], "cached": cached}))


asyncio.run(main())
