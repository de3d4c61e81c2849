#!/usr/bin/env python3
"""The socket talk that no everyday client makes: one small client and server per subject, by the kernel's own stack.

usage: talk.py serve            TCP and UDP echo on port 7 of all addresses, until killed
       talk.py SUBJECT ADDRESS  one of the functions below

Everything here is an ordinary socket with an option set, so the packets are the kernel's. What a kernel would not
send is crafted in odd.py instead.
"""
import select
import socket
import struct
import sys
import time

ECHO = 7


def family(addr):
    return socket.AF_INET6 if ":" in addr else socket.AF_INET


def tcp(addr, port=ECHO, **options):
    s = socket.socket(family(addr), socket.SOCK_STREAM)
    s.settimeout(5)
    for name, value in options.items():
        s.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    s.connect((addr, port))
    return s


def udp(addr):
    s = socket.socket(family(addr), socket.SOCK_DGRAM)
    s.settimeout(5)
    return s


def serve():
    poll, socks = select.poll(), {}

    def add(s):
        socks[s.fileno()] = s
        poll.register(s, select.POLLIN)

    listeners = []
    for fam, addr in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::")):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            s = socket.socket(fam, kind)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if fam == socket.AF_INET6:
                s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.bind((addr, ECHO))
            if kind == socket.SOCK_STREAM:
                s.setsockopt(socket.IPPROTO_TCP, 23, 16)  # TCP_FASTOPEN
                s.listen(64)
                listeners.append(s)
            add(s)
    while True:
        for fd, _ in poll.poll():
            s = socks[fd]
            try:
                if s in listeners:
                    add(s.accept()[0])
                elif s.type == socket.SOCK_DGRAM:
                    data, peer = s.recvfrom(65536)
                    s.sendto(data, peer)
                elif data := s.recv(65536):
                    s.sendall(data)
                else:
                    raise OSError
            except OSError:
                poll.unregister(fd)
                socks.pop(fd).close()


def urgent(addr):
    """TCP urgent data, between ordinary data."""
    s = tcp(addr)
    for _ in range(3):
        s.sendall(b"ordinary ")
        s.send(b"!", socket.MSG_OOB)
        time.sleep(0.02)
    s.close()


def reset(addr):
    """A connection that its client aborts: RST instead of FIN."""
    for _ in range(3):
        s = tcp(addr)
        s.sendall(b"going away")
        time.sleep(0.02)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()


def mss(addr):
    """Small segments of agreed size; many segments in one answer."""
    for size in (536, 1000):
        s = tcp(addr, TCP_MAXSEG=size)
        s.sendall(bytes(range(256)) * 16)
        got = 0
        while got < 4096:
            got += len(s.recv(65536))
        s.close()


def fastopen(addr):
    """Data in the SYN (RFC 7413), on the second connection."""
    for _ in range(2):
        s = socket.socket(family(addr), socket.SOCK_STREAM)
        s.sendto(b"early data", socket.MSG_FASTOPEN, (addr, ECHO))
        s.recv(100)
        s.close()


def chat(addr):
    """Small pushes to and fro, with pauses: delayed ACKs, keep-alives."""
    s = tcp(addr, TCP_NODELAY=1, TCP_KEEPIDLE=1, TCP_KEEPINTVL=1)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for i in range(12):
        s.sendall(b"GET the next line %d\n" % i)
        s.recv(100)
    time.sleep(2.2)
    s.close()


def pipeline(addr):
    """HTTP requests sent without waiting for answers: many at once, and cut where no client would cut them."""
    one = "{} /{} HTTP/1.1\r\nHost: pipe.example\r\nUser-Agent: pipe/1.0\r\nCookie: session=evil\r\n{}\r\n"
    names = ["index.html", "style.css", "missing.html", "img/1.png", "api/status.json"] * 2
    text = "".join(one.format("HEAD" if i == 3 else "GET", name, "") for i, name in enumerate(names))
    text += one.format("GET", "index.html", "If-Modified-Since: Fri, 01 Jan 2038 00:00:00 GMT\r\n")
    text += one.format("GET", "page.txt", "Connection: close\r\nAccept-Encoding: gzip\r\n")
    for size in (len(text), 19):
        s = tcp(addr, 80, TCP_NODELAY=1)
        for at in range(0, len(text), size):
            s.sendall(text[at : at + size].encode())
            if size < 700:
                time.sleep(0.001)
        while s.recv(65536):
            pass
        s.close()


def stall(addr):
    """A receiver that does not read: a window of zero, probes, and then the rest."""
    s = socket.socket(family(addr), socket.SOCK_STREAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    s.connect((addr, ECHO))
    s.sendall(b"All that is sent comes back. " * 1000)
    time.sleep(1.5)
    left = 29000
    while left:
        left -= len(s.recv(2000))
    s.close()


def reuse(addr):
    """Connections one after the other with the same addresses and ports: aborted, then ended by the server."""
    for i, port in enumerate((ECHO, ECHO, ECHO, 80, 80, 80)):
        if port == 80:
            time.sleep(1.1)  # even where this end waits for late segments, it may connect anew by then
        s = socket.socket(family(addr), socket.SOCK_STREAM)
        s.settimeout(5)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("", 45555))
        s.connect((addr, port))
        if port == 80:
            s.sendall(b"GET /img/3.png?n=%d HTTP/1.1\r\nHost: again.example\r\nConnection: close\r\n\r\n" % i)
            while s.recv(65536):
                pass
        else:
            s.sendall(b"connection %d " % i * 30 * (i + 1))
            s.recv(65536)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
        time.sleep(0.05)


def syns(addr):
    """A connect scan of 96 ports: SYN and RST mostly."""
    s = []
    for port in (*range(1, 89), 443, 3306, 5432, 6379, 8080, 8443, 9200, 11211):
        c = socket.socket(family(addr), socket.SOCK_STREAM)
        c.setblocking(False)
        c.connect_ex((addr, port))
        s.append(c)
        time.sleep(0.0005)
    time.sleep(0.2)
    for c in s:
        c.close()


def datagrams(addr):
    """UDP of many lengths: empty, one byte, up to three fragments; a closed port; without checksum; marked and short-lived."""
    s = udp(addr)
    for size in (0, 1, 8, 100, 512, 1000, 1400, 1472, 1473, 3000, 4000):
        s.sendto(b"M" * size, (addr, ECHO))
        s.recv(65536)
    s.sendto(b"nobody there", (addr, 9))
    if family(addr) == socket.AF_INET:
        s.setsockopt(socket.SOL_SOCKET, 11, 1)  # SO_NO_CHECK
        s.sendto(b"no checksum", (addr, ECHO))
        for tos, ttl in ((0xB8, 64), (0x88, 5), (0x03, 1), (0x20, 255)):
            s.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, tos)
            s.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            s.sendto(b"marked", (addr, ECHO))
        # record route, then security and no-operation: header lengths 32 and 36
        for options in ("07 0b 04 00000000 00000000 00", "01 01 82 0b 0000000000 0000000000 00"[:-3] + " 00 00 00"):
            s = udp(addr)
            s.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, bytes.fromhex(options))
            s.sendto(b"options", (addr, ECHO))
    else:
        for tclass, hops in ((0xB8, 64), (0x88, 5), (0x03, 255)):
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, tclass)
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, hops)
            s.sendto(b"marked", (addr, ECHO))
    time.sleep(0.1)


def extensions(addr):
    """IPv6 hop-by-hop and destination options before UDP and TCP, alone, together, and before fragments."""
    hop = bytes.fromhex("0000 050200000100")  # router alert, padding
    dst = bytes.fromhex("0001 1e0c 000000000000000000000000")  # an experiment's option (RFC 4727), to be skipped
    both = [(socket.IPV6_HOPOPTS, hop), (socket.IPV6_DSTOPTS, dst)]
    for options in (both[:1], both[1:], both):
        for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
            s = socket.socket(socket.AF_INET6, kind)
            s.settimeout(5)
            for name, value in options:
                s.setsockopt(socket.IPPROTO_IPV6, name, value)
            if kind == socket.SOCK_STREAM:
                s.connect((addr, ECHO))
            for size in (5, 700, 3000):
                s.sendto(b"E" * size, (addr, ECHO))  # not connected: the answer may come from another address of the host
                s.recv(65536)
            s.close()


def multicast(addr):
    """mDNS questions to both families' groups, with the joins (IGMP, MLD) that a responder makes."""
    question = bytes.fromhex("000000000001000000000000 055f68747470045f746370056c6f63616c00 000c 0001".replace(" ", ""))
    for fam, group in ((socket.AF_INET, "224.0.0.251"), (socket.AF_INET6, "ff02::fb")):
        s = socket.socket(fam, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        index = socket.if_nametoindex(addr)
        raw = socket.inet_pton(fam, group)
        if fam == socket.AF_INET:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, struct.pack("4s4si", raw, b"\0" * 4, index))
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s4si", b"\0" * 4, b"\0" * 4, index))
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        else:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, raw + struct.pack("I", index))
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        s.bind(("", 5353))
        for _ in range(3):
            s.sendto(question, (group, 5353))
        time.sleep(1.2)  # the second report
        s.close()
    time.sleep(0.5)


if __name__ == "__main__":
    subject, *args = sys.argv[1:]
    globals()[subject](*args)
