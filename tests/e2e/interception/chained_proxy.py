"""``chained_proxy.py PORT USER:PASSWORD``: tunnels for that user alone, and names the target of each on a line."""

import asyncio
import base64
import contextlib
import sys

PORT, CREDENTIALS = int(sys.argv[1]), sys.argv[2]
WANTED = b"\r\nproxy-authorization: basic " + base64.b64encode(CREDENTIALS.encode()) + b"\r\n"


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()
    writer.close()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    target = head.split()[1].decode()
    name, value = WANTED.rsplit(b" ", 1)
    if name not in head.lower() or value not in head:
        writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        return
    print(target, flush=True)
    host, _, port = target.rpartition(":")
    behind = await asyncio.open_connection(host, int(port))
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await asyncio.gather(pump(reader, behind[1]), pump(behind[0], writer))


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", PORT)
    print("listening", flush=True)
    async with server:
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main())
