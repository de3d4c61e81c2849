#!/usr/bin/env python3
"""Load for the big trace: many clients of ordinary servers, each from an address of its own, all by the kernel's stack.

usage: load.py KIND COUNT SEED CLIENTS SERVERS [PORT...]
       load.py sink PORT...            takes datagrams and says nothing, until killed

KIND is http, https, dns, push (datagrams one way) or knock (connections that nobody answers or that are refused).
CLIENTS and SERVERS are prefixes that are local to either host as a whole (`ip route add local PREFIX dev lo`), from which
addresses are drawn: a few are busy, most are rare, as in real networks. The same SEED makes the same choices.
"""
import asyncio
import ipaddress
import random
import socket
import ssl
import struct
import sys

AT_ONCE = 64


class Place:
    """Addresses of a prefix, drawn with a heavy tail over its /24s (IPv6: /120s) and hosts."""

    def __init__(self, prefix, rng):
        self.net, self.rng = ipaddress.ip_network(prefix), rng

    def draw(self):
        nets = max(1, self.net.num_addresses >> 8)
        block = min(int(self.rng.paretovariate(0.35)) - 1, 0xFFFFFF) * 2654435761 % nets  # popular ones lie far apart
        host = min(int(self.rng.paretovariate(0.6)), 254)
        return str(self.net.network_address + (block << 8 | host))


def object_name(rng):
    """Most objects are small, few are large: as on the web."""
    dice = rng.random()
    if dice < 0.5:
        return rng.choice(["", "style.css", "api/status.json", "missing.html"])
    if dice < 0.97:
        return f"img/{min(int(rng.paretovariate(0.8)), 8)}.png"
    return rng.choice(["page.txt", "page.txt", "32k.bin", "64k.bin"]) if dice < 0.998 else rng.choice(["256k.bin", "1024k.bin"])


async def http(rng, src, dst, port, tls):
    reader, writer = await asyncio.open_connection(dst, port, local_addr=(src, 0), ssl=tls)
    for i in range(requests := min(int(rng.paretovariate(1.1)), 12)):
        close = "close" if i == requests - 1 else "keep-alive"
        head = f"GET /{object_name(rng)} HTTP/1.1\r\nHost: web{rng.randrange(40)}.example\r\nUser-Agent: load/1.0 ({src})\r\n"
        cookie = f"Cookie: session={rng.randrange(1 << 32):08x}\r\n" if rng.random() < 0.3 else ""
        writer.write(f"{head}{cookie}Accept: */*\r\nConnection: {close}\r\n\r\n".encode())
        answer = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(answer.split(b"content-length:")[1].split(b"\r\n")[0]))
    if rng.random() < 0.05:
        writer.transport.abort()  # RST
    writer.close()


async def dns(rng, src, dst, port, _):
    name = rng.choice(["web.example", "www.example", f"host{rng.randrange(5000)}.wild.example", f"no{rng.randrange(999)}.example"])
    kind = rng.choice([1, 1, 1, 28, 28, 16, 15])
    labels = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    query = struct.pack("!HHHHHH", rng.randrange(65536), 0x100, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1)
    loop = asyncio.get_running_loop()
    answered = loop.create_future()

    class Once(asyncio.DatagramProtocol):
        def datagram_received(self, data, addr):
            answered.done() or answered.set_result(data)

    transport, _ = await loop.create_datagram_endpoint(Once, local_addr=(src, 0), remote_addr=(dst, port))
    transport.sendto(query)
    try:
        await asyncio.wait_for(answered, 2)
    finally:
        transport.close()


async def push(rng, src, dst, port, _):
    with socket.socket(socket.AF_INET6 if ":" in src else socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind((src, rng.randrange(32768, 61000)))
        s.connect((dst, port))
        for _ in range(min(int(rng.paretovariate(0.9)), 40)):
            size = min(int(60 * rng.paretovariate(1.2)), 1400)
            s.send((b"<13>load: message %08d " % rng.randrange(10**8)).ljust(size, b"."))
            await asyncio.sleep(0)


async def knock(rng, src, dst, port, _):
    with socket.socket(socket.AF_INET6 if ":" in src else socket.AF_INET, socket.SOCK_STREAM) as s:
        s.setblocking(False)
        s.bind((src, 0))
        s.connect_ex((dst, port or rng.randrange(1, 65536)))
        await asyncio.sleep(0.01)


async def main(kind, count, seed, clients, servers, *ports):
    rng = random.Random(int(seed))
    one = {"http": http, "https": http, "dns": dns, "push": push, "knock": knock}[kind]
    tls = None
    if kind == "https":
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    clients, servers = Place(clients, rng), Place(servers, rng)
    jobs = iter(range(int(count)))
    failed = 0

    async def worker():
        nonlocal failed
        for _ in jobs:
            port = int(rng.choice(ports)) if ports else 0
            try:
                await one(rng, clients.draw(), servers.draw(), port, tls)
            except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
                failed += 1

    await asyncio.gather(*(worker() for _ in range(AT_ONCE)))
    print(f"{kind}: {count} done, {failed} failed", file=sys.stderr)
    if failed > int(count) // 20 and kind != "knock":
        sys.exit(f"{kind}: too many failed")


def sink(ports):
    import select

    poll, socks = select.poll(), {}
    for port in ports:
        s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        s.bind(("::", int(port)))
        socks[s.fileno()] = s
        poll.register(s, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            socks[fd].recv(65536)


if __name__ == "__main__":
    if sys.argv[1] == "sink":
        sink(sys.argv[2:])
    asyncio.run(main(*sys.argv[1:]))
