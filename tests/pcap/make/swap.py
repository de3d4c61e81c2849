#!/usr/bin/env python3
"""Rewrites a little-endian pcap with nanoseconds as a big-endian one with microseconds, as old RISC machines wrote them.

usage: swap.py IN OUT. (editcap -F writes the machine's own byte order only.)
"""
import struct
import sys

data = open(sys.argv[1], "rb").read()
magic, major, minor, zone, figures, snap, link = struct.unpack("<IHHiIII", data[:24])
assert magic == 0xA1B23C4D, "not a little-endian nanosecond pcap"
out = [struct.pack(">IHHiIII", 0xA1B2C3D4, major, minor, zone, figures, snap, link)]
at = 24
while at < len(data):
    seconds, nanos, held, wire = struct.unpack("<IIII", data[at : at + 16])
    out.append(struct.pack(">IIII", seconds, nanos // 1000, held, wire) + data[at + 16 : at + 16 + held])
    at += 16 + held
open(sys.argv[2], "wb").write(b"".join(out))
