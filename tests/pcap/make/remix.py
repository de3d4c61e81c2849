#!/usr/bin/env python3
"""Mixes captures again and again with other addresses and ports into one big one: the trace where none can be captured.

usage: remix.py OUT CAPTURE.pcap...

Takes the little-endian nanosecond Ethernet captures among those given, until there are PACKETS packets. Each round maps every
address and every client port (above 1023) of a capture to others, the same way for the whole round, so connections
stay whole; checksums are kept right. Only the outermost IP header is changed, as far as VLAN tags and MPLS labels
lead to it. What it lacks: the captures' timing and packet lengths recur in every round.
"""
import random
import struct
import sys

PACKETS = 450_000


def packets(path):
    data = open(path, "rb").read()
    magic, *_, link = struct.unpack_from("<IHHiIII", data)
    if magic != 0xA1B23C4D or link != 1:
        return []
    out, at = [], 24
    while at + 16 <= len(data):
        _, _, held, wire = struct.unpack_from("<IIII", data, at)
        out.append((data[at + 16 : at + 16 + held], wire))
        at += 16 + held
    return out


def fields(frame):
    """Where the 16-bit words of addresses are, of ports, and the checksums that cover them: (addresses, ports, [at, covers ports])."""
    at, kind = 14, frame[12:14]
    while kind in (b"\x81\x00", b"\x88\xa8"):
        at, kind = at + 4, frame[at + 2 : at + 4]
    if kind == b"\x88\x47":
        while len(frame) > at + 4 and not frame[at + 2] & 1:
            at += 4
        at += 4
        kind = {4: b"\x08\x00", 6: b"\x86\xdd"}.get(frame[at] >> 4 if len(frame) > at else 0)
    sums = []
    if kind == b"\x08\x00" and len(frame) >= at + 20:
        addresses, proto, l4 = [at + 12, at + 16], frame[at + 9], at + 4 * (frame[at] & 15)
        sums.append((at + 10, False))
        if struct.unpack_from("!H", frame, at + 6)[0] & 0x1FFF:
            return addresses, [], sums
    elif kind == b"\x86\xdd" and len(frame) >= at + 40:
        addresses, proto, l4 = [at + 8, at + 24], frame[at + 6], at + 40
    else:
        return [], [], []
    ports = [l4, l4 + 2] if proto in (6, 17) and len(frame) >= l4 + 4 else []
    where = {6: l4 + 16, 17: l4 + 6, 58: l4 + 2}.get(proto)
    if where and len(frame) >= where + 2 and (proto != 17 or frame[where : where + 2] != b"\0\0"):
        sums.append((where, True))
    return addresses, ports, sums


def changed(frame, plan, salt):
    addresses, ports, sums = plan
    if not addresses:
        return frame
    out = bytearray(frame)
    host = port = 0  # what the checksums must make up for
    for at in addresses:
        old = struct.unpack_from("!HH", frame, at)
        if old[0] >> 8 in (0, 127, 224, 239, 255) or old[0] in (0xFE80, 0xFF02):
            continue  # a group, or this link's only
        # keeps the first byte (IPv6: the first word) and mixes the rest by what it was
        keep = 0xFFFF if old[0] == 0x2001 else 0xFF00
        new = (old[0] & keep) | ((old[0] ^ salt) & ~keep & 0xFFFF), (old[1] * 40503 + salt * 31) & 0xFFFF
        struct.pack_into("!HH", out, at, *new)
        host += sum(new) - sum(old)
    for at in ports:
        (old,) = struct.unpack_from("!H", frame, at)
        if old > 1023:
            new = 1024 + (old * 40503 + salt) % 64512
            struct.pack_into("!H", out, at, new)
            port += new - old
    for at, with_ports in sums:
        (old,) = struct.unpack_from("!H", frame, at)
        total = (~old & 0xFFFF) + (host + (port if with_ports else 0)) % 0xFFFF
        total = (total & 0xFFFF) + (total >> 16)
        struct.pack_into("!H", out, at, ~total & 0xFFFF)
    return bytes(out)


def main(out, *paths):
    rng = random.Random(1)
    captures = [c for c in ([(f, w, fields(f)) for f, w in packets(p)] for p in sorted(paths)) if c]
    if not captures:
        sys.exit("remix: none of the captures can be mixed")
    now, done = 1_700_000_000 * 10**9, 0
    with open(out, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1))
        while done < PACKETS:
            # one round: three captures at a time, shuffled into each other
            salts = {}
            streams = rng.sample(captures, min(3, len(captures)))
            positions = [0] * len(streams)
            left = [i for i, s in enumerate(streams) if s]
            while left and done < PACKETS:
                i = rng.choice(left)
                frame, wire, plan = streams[i][positions[i]]
                data = changed(frame, plan, salts.setdefault(i, rng.randrange(65536)))
                now += rng.randrange(200, 150_000)
                file.write(struct.pack("<IIII", now // 10**9, now % 10**9, len(data), wire) + data)
                done += 1
                positions[i] += 1
                if positions[i] == len(streams[i]):
                    left.remove(i)
    print(f"remix: {out}: {done} packets of {len(captures)} captures", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
