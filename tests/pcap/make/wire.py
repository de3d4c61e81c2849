#!/usr/bin/env python3
"""A cable between two hosts whose frames wear a sheath: VLAN tags, MPLS labels, PPPoE, GRE, IP in IP, GENEVE.

usage: wire.py TRUNK HOST1:DEV1,HOST2:DEV2,SHEATH ...

Each cable is a TAP device in either host. A frame that enters at one end leaves at the other as it was; on the way it is sent, in
its sheath, out of the interface TRUNK, where its peer can be captured: the frames that a device between two tagging
switches (or routers) sees. SHEATH is `plain` or layers joined by `+`, innermost first: vlan:ID[:PRIO], ad:ID (802.1ad), mpls:LABEL[:LABEL],
pppoe:SESSION, gre, gretap, ipip, geneve:VNI. Exists because not every kernel has these devices; the hosts, their
clients and servers are real, checksums and segments too (a TAP offloads nothing).
"""
import fcntl
import os
import select
import socket
import struct
import subprocess
import sys

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


def sheath(text):
    steps = []
    for layer in [] if text == "plain" else text.split("+"):
        name, *args = layer.split(":")
        steps.append((name in ONLY_IP, LAYERS[name](*args)))

    def push(way, frame):
        for only_ip, step in steps:
            if not only_ip or frame[12:14] in (b"\x08\x00", b"\x86\xdd"):
                frame = step(way, frame)
        return frame

    return push


def tap(host, dev):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", dev.encode(), IFF_TAP | IFF_NO_PI))
    subprocess.run(["ip", "link", "set", dev, "netns", host], check=True)
    subprocess.run(["ip", "-n", host, "link", "set", dev, "mtu", "1400", "up"], check=True)
    return fd


def main():
    trunk = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    trunk.bind((sys.argv[1], 0))
    ends = {}  # descriptor -> (the other end, direction, sheath)
    for cable in sys.argv[2:]:
        left, right, text = cable.split(",")
        push = sheath(text)
        a, b = tap(*left.split(":")), tap(*right.split(":"))
        ends[a], ends[b] = (b, 0, push), (a, 1, push)
    poll = select.epoll()
    for fd in ends:
        poll.register(fd, select.EPOLLIN)
    print("ready", flush=True)
    while True:
        for fd, _ in poll.poll():
            other, way, push = ends[fd]
            for _ in range(64):
                try:
                    frame = os.read(fd, 65536)
                except BlockingIOError:
                    break
                trunk.send(push(way, frame))
                try:
                    os.write(other, frame)
                except OSError:
                    pass  # the other end is not up (yet)


if __name__ == "__main__":
    main()
