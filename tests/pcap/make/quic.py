#!/usr/bin/python3
"""The beginnings of QUIC connections, as their packets are on the wire.

usage: quic.py FILE

Writes a capture of Initial packets of versions 1 and 2: that of RFC 9001, appendix A.2; a hello in two
datagrams that overtook each other, its CRYPTO frames in any order; a hello of which a half is lost and that is said again
after a Retry; an Initial with a 0-RTT packet behind it. Nothing is random: the same file each time. Needs the module
`cryptography` (Debian: python3-cryptography). Exists because the clients in captures of others bring their users' names.
"""
import hashlib
import hmac
import struct
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

V1, V2 = 1, 0x6B3343CF
SALT = {V1: "38762cf7f55934b34d179ae6a4c80cadccbb7f0a", V2: "0dede3def700a6db819381be6e269dcbf9bd2ed9"}
PREFIX = {V1: "quic ", V2: "quicv2 "}
KIND = {V1: {"initial": 0, "0rtt": 1, "retry": 3}, V2: {"initial": 1, "0rtt": 2, "retry": 0}}
RFC = bytes.fromhex(
    "010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c0000041301130201"
    "0000c000000010000e00000b6578616d706c652e636f6dff01000100000a00080006001d00170018001000070005"
    "04616c706e000500050100000000003300260024001d00209370b2c9caa47fbabaf4559fedba753de171fa71f50f"
    "1ce15d43e994ec74d748002b0003020304000d0010000e0403050306030203080408050806002d00020101001c00"
    "024001003900320408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f088394c8"
    "f03e51570806048000ffff"
)


def expand(secret, label, length):
    label = b"tls13 " + label.encode()
    info = struct.pack("!HB", length, len(label)) + label + b"\0"
    return hmac.new(secret, info + b"\1", hashlib.sha256).digest()[:length]


def keys(version, dcid):
    initial = hmac.new(bytes.fromhex(SALT[version]), dcid, hashlib.sha256).digest()
    client = expand(initial, "client in", 32)
    return [expand(client, PREFIX[version] + name, size) for name, size in (("key", 16), ("iv", 12), ("hp", 16))]


def number(n):
    return struct.pack("!B", n) if n < 64 else struct.pack("!H", 0x4000 | n)


def crypto(offset, data):
    return b"\x06" + number(offset) + number(len(data)) + data


def packet(version, dcid, frames, pn, source=b"", token=b"", seal=None, size=1200, pn_len=4, kind="initial"):
    """A protected packet of `size` bytes; `seal`: the connection id that its keys are made of."""
    key, iv, hp = keys(version, seal or dcid)
    head = bytes([0xC0 | KIND[version][kind] << 4 | pn_len - 1]) + struct.pack("!IB", version, len(dcid)) + dcid
    head += bytes([len(source)]) + source + (number(len(token)) + token if kind == "initial" else b"")
    frames += bytes(size - len(head) - 2 - pn_len - len(frames) - 16)
    head += struct.pack("!H", 0x4000 | pn_len + len(frames) + 16) + struct.pack("!I", pn)[4 - pn_len :]
    nonce = bytes(a ^ b for a, b in zip(iv, struct.pack("!4xQ", pn)))
    sealed = AESGCM(key).encrypt(nonce, frames, head)
    mask = Cipher(algorithms.AES(hp), modes.ECB()).encryptor().update(sealed[4 - pn_len :][:16])
    at = len(head) - pn_len
    plain = bytes([head[0] ^ mask[0] & 0x0F]) + head[1:at]
    return plain + bytes(a ^ b for a, b in zip(head[at:], mask[1:])) + sealed


def retry(version, dcid, source, token):
    """A Retry without a right tag: observers do not look at it."""
    head = bytes([0xC0 | KIND[version]["retry"] << 4]) + struct.pack("!IB", version, len(dcid)) + dcid
    return head + bytes([len(source)]) + source + token + bytes(16)


def hello(name, more=0):
    """A ClientHello for a name, with `more` bytes of key shares."""
    def extension(kind, data):
        return struct.pack("!HH", kind, len(data)) + data

    name = name.encode()
    sni = struct.pack("!HBH", len(name) + 3, 0, len(name)) + name
    share = struct.pack("!HHH", more + 36, 0x1D, 32) + bytes(range(32)) if not more else struct.pack(
        "!HHH", more + 4, 0x11EC, more) + bytes(i & 255 for i in range(more))
    body = b"\x03\x03" + bytes(range(32)) + b"\0" + b"\0\4\x13\1\x13\2" + b"\1\0"
    extensions = extension(51, share) + extension(0, sni) + extension(16, b"\0\3\2h3") + extension(43, b"\2\3\4")
    body += struct.pack("!H", len(extensions)) + extensions
    return b"\1" + struct.pack("!I", len(body))[1:] + body


def checksum(data):
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def frame(port, payload, from_client=True, v6=False):
    ports = (port, 443) if from_client else (443, port)
    if v6:
        ends = [bytes.fromhex("20010db8" + "0" * 22 + x) for x in ("01", "02")]
    else:
        ends = [bytes([192, 0, 2, 1]), bytes([198, 51, 100, 7])]
    ends = ends if from_client else ends[::-1]
    length = 8 + len(payload)
    udp = struct.pack("!HHHH", *ports, length, 0) + payload
    pseudo = b"".join(ends) + struct.pack("!II" if v6 else "!HH", length, 17)
    if not v6:
        pseudo = b"".join(ends) + struct.pack("!HH", 17, length)
    udp = udp[:6] + struct.pack("!H", checksum(pseudo + udp) or 0xFFFF) + udp[8:]
    if v6:
        head, kind = struct.pack("!IHBB", 6 << 28, length, 17, 64) + b"".join(ends), b"\x86\xdd"
    else:
        head, kind = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 1, 0, 64, 17, 0) + b"".join(ends), b"\x08\0"
        head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    macs = [bytes.fromhex("020000000001"), bytes.fromhex("020000000002")]
    return b"".join(macs[::-1] if from_client else macs) + kind + head + udp


def frames():
    dcid = bytes.fromhex("8394c8f03e515708")
    yield frame(50001, packet(V1, dcid, crypto(0, RFC), 2))
    # In two datagrams that overtook each other, shuffled.
    long, other = hello("www.example", 1300), b"\x11" * 12
    parts = [(0, 60), (1100, len(long)), (60, 300), (700, 1100), (300, 700)]
    first, second = (b"".join(crypto(a, long[a:b]) + b"\1" for a, b in half) for half in (parts[2:4] + parts[:1], parts[1:2] + parts[4:]))
    yield frame(50003, packet(V1, other, second, 1, pn_len=1), v6=True)
    yield frame(50003, packet(V1, other, first, 0, pn_len=1), v6=True)
    # Half of it is lost; all of it comes after a Retry.
    short, again, client = hello("retry.example"), b"\x33" * 8, b"\x44" * 8
    yield frame(50004, packet(V1, b"\x22" * 8, crypto(0, short[:100]), 0, client))
    yield frame(50004, retry(V1, client, again, b"token"), from_client=False)
    yield frame(50004, packet(V1, again, crypto(0, short), 1, client, b"token"))
    # 0-RTT behind it. What protects that packet is not known to observers; it is any bytes to them.
    both = packet(V2, b"\x55" * 8, crypto(0, hello("early.example")), 0, client, size=600)
    yield frame(50005, both + packet(V2, b"\x55" * 8, b"", 1, client, size=600, kind="0rtt"))


def main(path):
    with open(path, "wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for i, data in enumerate(frames()):
            file.write(struct.pack("<IIII", 1_750_000_000, i * 10_000, len(data), len(data)) + data)


if __name__ == "__main__":
    main(*sys.argv[1:])
