#!/usr/bin/env python3
"""A cable between two hosts whose frames wear a sheath: VLAN tags, MPLS labels, PPPoE, GRE, IP in IP, GENEVE.

usage: wire.py TRUNK HOST1:DEV1,HOST2:DEV2,SHEATH ...

Each cable is a TAP device in either host. A frame that enters at one end leaves at the other as it was; on the way it is sent, in
its sheath, out of the interface TRUNK, where its peer can be captured: the frames that a device between two tagging
switches (or routers) sees. SHEATH is `plain` or layers joined by `+`, innermost first: vlan:ID[:PRIO], ad:ID (802.1ad), mpls:LABEL[:LABEL],
pppoe:SESSION, gre, gretap, ipip, geneve:VNI. A layer `lossy:SEED`, anywhere in it, is no header but a bad cable: frames
are lost (before the place of capture or behind it), doubled, and overtaken by later ones. Exists because not every kernel has these devices; the hosts, their
clients and servers are real, checksums and segments too (a TAP offloads nothing).
"""
import fcntl
import os
import random
import select
import socket
import struct
import subprocess
import sys
import time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 2, 0x1000
ROUTERS = (bytes.fromhex("020000000a01"), bytes.fromhex("020000000a02"))
OUTER = ("192.0.2.1", "198.51.100.2")


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class Outer:
    """An Ethernet and IPv4 header around a payload, from one router to the other."""

    def __init__(self):
        self.ident = 0

    def __call__(self, way, proto, payload):
        self.ident = self.ident + 1 & 0xFFFF
        src, dst = (socket.inet_aton(a) for a in OUTER[:: 1 if way == 0 else -1])
        head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), self.ident, 0x4000, 64, proto, 0, src, dst)
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
        return ROUTERS[1 - way] + ROUTERS[way] + b"\x08\x00" + head + payload


def vlan(tpid, ident, prio=0):
    tag = struct.pack("!HH", tpid, int(prio) << 13 | int(ident))
    return lambda way, f: f[:12] + tag + f[12:]


def mpls(*labels):
    entries = [struct.pack("!I", int(x) << 12 | (i == len(labels) - 1) << 8 | 64) for i, x in enumerate(labels)]
    return lambda way, f: f[:12] + b"\x88\x47" + b"".join(entries) + f[14:]


def pppoe(session):
    proto = {b"\x08\x00": 0x21, b"\x86\xdd": 0x57}
    return lambda way, f: (
        f[:12] + struct.pack("!HBBHHH", 0x8864, 0x11, 0, int(session), len(f) - 12, proto[f[12:14]]) + f[14:]
    )


def gre():
    outer = Outer()
    return lambda way, f: outer(way, 47, b"\0\0" + f[12:])


def gretap():
    outer = Outer()
    return lambda way, f: outer(way, 47, b"\0\0\x65\x58" + f)


def ipip():
    outer = Outer()
    return lambda way, f: outer(way, 4 if f[12:14] == b"\x08\x00" else 41, f[14:])


def geneve(vni):
    outer = Outer()

    def push(way, f):
        head = struct.pack("!BBHI", 0, 0, 0x6558, int(vni) << 8)
        port = 49152 + (sum(f[26:34]) & 0x3FFF)  # of the flow: its addresses
        return outer(way, 17, struct.pack("!HHHH", port, 6081, 8 + len(head) + len(f), 0) + head + f)

    return push


LAYERS = {
    "vlan": lambda *a: vlan(0x8100, *a),
    "ad": lambda *a: vlan(0x88A8, *a),
    "mpls": mpls,
    "pppoe": pppoe,
    "gre": gre,
    "gretap": gretap,
    "ipip": ipip,
    "geneve": geneve,
}
ONLY_IP = {"mpls", "pppoe", "gre", "ipip"}  # these carry no ARP; it passes bare


class Lossy:
    """One direction of a bad cable. What becomes of a frame follows from the seed; when, from the hosts."""

    PATIENCE = 0.03  # how long a frame waits to be overtaken

    def __init__(self, seed):
        self.rng, self.held = random.Random(seed), []

    def __call__(self, frame, now):
        """What goes over the cable now that this frame enters: (frame, whether it is captured, whether it arrives)."""
        if frame[12:14] == b"\x08\x06" or frame[20:21] == b"\x3a":
            return [(frame, True, True)]  # neighbours find each other
        out, dice = [], self.rng.random()
        if dice < 0.02:
            pass
        elif dice < 0.05:
            out.append((frame, True, False))
        elif dice < 0.08:
            out += [(frame, True, True)] * 2
        elif dice < 0.16:
            self.held.append([self.rng.randint(2, 4), now + self.PATIENCE, frame])
        else:
            out.append((frame, True, True))
        for entry in self.held:
            entry[0] -= 1
        return out + self.overdue(now)

    def overdue(self, now):
        go = [e for e in self.held if e[0] <= 0 or e[1] <= now]
        self.held = [e for e in self.held if e not in go]
        return [(e[2], True, True) for e in go]


def sheath(text):
    """What puts a sheath around a frame, and for each direction the trouble that it has on the way."""
    steps, lossy = [], (None, None)
    for layer in [] if text == "plain" else text.split("+"):
        name, *args = layer.split(":")
        if name == "lossy":
            lossy = Lossy(args[0] + "<"), Lossy(args[0] + ">")
            continue
        steps.append((name in ONLY_IP, LAYERS[name](*args)))

    def push(way, frame):
        for only_ip, step in steps:
            if not only_ip or frame[12:14] in (b"\x08\x00", b"\x86\xdd"):
                frame = step(way, frame)
        return frame

    return push, lossy


def tap(host, dev):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", dev.encode(), IFF_TAP | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", dev, "netns", host], check=True)
    subprocess.run(["ip", "-n", host, "link", "set", dev, "mtu", "1400", "up"], check=True)
    return fd


def main():
    trunk = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    trunk.bind((sys.argv[1], 0))
    ends = {}  # descriptor -> (the other end, direction, sheath, trouble)
    for cable in sys.argv[2:]:
        left, right, text = cable.split(",")
        push, lossy = sheath(text)
        a, b = tap(*left.split(":")), tap(*right.split(":"))
        ends[a], ends[b] = (b, 0, push, lossy[0]), (a, 1, push, lossy[1])
    poll = select.epoll()
    for fd in ends:
        poll.register(fd, select.EPOLLIN)

    def cross(fd, frames):
        other, way, push, _ = ends[fd]
        for frame, captured, arrives in frames:
            try:
                if captured:
                    trunk.send(push(way, frame))
            except OSError:
                pass  # the trunk is not up (yet), or is being moved
            try:
                if arrives:
                    os.write(other, frame)
            except OSError:
                pass  # the other end is not up (yet)

    print("ready", flush=True)
    while True:
        waiting = [fd for fd, end in ends.items() if end[3] and end[3].held]
        for fd, _ in poll.poll(0.01 if waiting else None):
            lossy = ends[fd][3]
            for _ in range(64):
                try:
                    frame = os.read(fd, 65536)
                except BlockingIOError:
                    break
                cross(fd, lossy(frame, time.monotonic()) if lossy else [(frame, True, True)])
        for fd in waiting:
            cross(fd, ends[fd][3].overdue(time.monotonic()))


if __name__ == "__main__":
    main()
