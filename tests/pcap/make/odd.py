#!/usr/bin/python3
"""Frames that no well-behaved host sends, and link types and encapsulations that the other captures lack.

usage: odd.py DIRECTORY

Writes odd.pcap (Ethernet) and odd-LINK.pcap (other link types) in several byte orders and resolutions, and odd.pcapng: all of
them, an interface for each link type, and in each packet's comment what is odd about it. Times are made up, nothing is
random: the same files each time. Needs scapy (Debian: python3-scapy).
"""
import struct
import sys

from scapy.all import ARP, IP, TCP, UDP, Ether, ICMP, IPv6, Raw, SCTP, SCTPChunkInit, raw
from scapy.contrib.geneve import GENEVE
from scapy.contrib.mpls import MPLS
from scapy.layers.inet6 import (
    ICMPv6EchoRequest, ICMPv6ND_NS, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting,
)
from scapy.layers.ipsec import AH, ESP
from scapy.layers.l2 import GRE, LLC, SNAP, STP, Dot1AD, Dot1Q, Dot3
from scapy.layers.ppp import PPP, PPPoE
from scapy.layers.vxlan import VXLAN

ETH = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
V4 = IP(src="192.0.2.1", dst="198.51.100.7")
V6 = IPv6(src="2001:db8::1", dst="2001:db8:f::7")
WEB = TCP(sport=40000, dport=80, flags="PA", seq=1000, ack=2000) / b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SYN = TCP(sport=40001, dport=443, flags="S", seq=7, options=[("MSS", 1460), ("SAckOK", b""), ("Timestamp", (5, 0)), ("NOP", None), ("WScale", 7)])
ASK = UDP(sport=5353, dport=53) / bytes.fromhex("beef01000001000000000000016100000100 01".replace(" ", ""))

ETHERNET, RAW, NULL, LOOP, SLL, SLL2, IPV4, IPV6 = 1, 101, 0, 108, 113, 276, 228, 229
FRAMES = []  # (link type, what is odd, captured bytes, length on the wire)


def odd(what, packet, cut=None, wire=None, link=ETHERNET):
    """cut: how many bytes were captured; wire: the length on the wire when it is not the packet's."""
    data = raw(packet)
    FRAMES.append((link, what, data[:cut], wire if wire is not None else len(data)))


def patched(packet, **bytes_at):
    """The packet's bytes with some overwritten: _14="4f" puts 0x4f at offset 14, after all checksums."""
    data = bytearray(raw(packet))
    for at, value in bytes_at.items():
        value = bytes.fromhex(value)
        data[int(at[1:]) : int(at[1:]) + len(value)] = value
    return bytes(data)


# --- tags, labels, sessions
odd("plain TCP", ETH / V4 / WEB)
odd("padded to 60 bytes", raw(ETH / V4 / TCP(sport=1, dport=2)).ljust(60, b"\0"))
odd("padding that looks like payload", raw(ETH / V4 / ASK) + b"GET /trailer")
odd("priority tag: VLAN 0", ETH / Dot1Q(vlan=0, prio=7, id=1) / V4 / WEB)
odd("VLAN 4095", ETH / Dot1Q(vlan=4095) / V6 / WEB)
odd("802.1ad over 802.1Q", ETH / Dot1AD(vlan=100) / Dot1Q(vlan=200) / V4 / WEB)
odd("four VLAN tags", ETH / Dot1AD(vlan=1) / Dot1Q(vlan=2) / Dot1Q(vlan=3) / Dot1Q(vlan=4) / V4 / WEB)
odd("old QinQ type 0x9100", patched(ETH / Dot1Q(vlan=9) / Dot1Q(vlan=10) / V4 / WEB, _12="9100"))
odd("tag cut after the TCI", ETH / Dot1Q(vlan=5) / V4 / WEB, cut=16)
odd("tag cut inside the TCI", ETH / Dot1Q(vlan=5) / V4 / WEB, cut=15)
odd("tag around an 802.3 length", ETH / Dot1Q(vlan=6, type=38) / LLC() / STP())
odd("one MPLS label", ETH / MPLS(label=16, s=1, ttl=64) / V4 / WEB)
odd("three MPLS labels, IPv6", ETH / MPLS(label=1, s=0) / MPLS(label=1048575, s=0, cos=5) / MPLS(label=2, s=1, ttl=1) / V6 / ASK)
odd("MPLS inside a VLAN", ETH / Dot1Q(vlan=11) / MPLS(label=33, s=1) / V4 / SYN)
odd("MPLS stack without a bottom", patched(ETH / MPLS(label=17, s=0) / MPLS(label=18, s=0), _12="8847"), wire=100)
odd("MPLS around something that is not IP", ETH / MPLS(label=19, s=1) / Raw(b"\x00\x01\x02\x03control word"))
odd("MPLS multicast type", patched(ETH / MPLS(label=20, s=1) / V4 / ASK, _12="8848"))
odd("PPPoE session with IPv4", ETH / PPPoE(sessionid=0x1234) / PPP(proto=0x21) / V4 / WEB)
odd("PPPoE session with IPv6 in a VLAN", ETH / Dot1Q(vlan=7) / PPPoE(sessionid=1) / PPP(proto=0x57) / V6 / WEB)
odd("PPPoE session with LCP", ETH / PPPoE(sessionid=2) / PPP(proto=0xC021) / Raw(b"\x09\x01\x00\x08abcd"))
odd("PPPoE discovery", patched(ETH / PPPoE(code=9) / Raw(b"\x01\x01\x00\x00"), _12="8863"))
odd("PPPoE length shorter than what follows", patched(ETH / PPPoE(sessionid=3) / PPP(proto=0x21) / V4 / WEB, _18="0006"))

# --- 802.3, ARP, other types
odd("802.3 with LLC: spanning tree", Dot3(src="02:00:00:00:00:01", dst="01:80:c2:00:00:00") / LLC(dsap=0x42, ssap=0x42, ctrl=3) / STP())
odd("802.3 with LLC and SNAP: IPv4", Dot3(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / LLC(dsap=0xAA, ssap=0xAA, ctrl=3) / SNAP(OUI=0, code=0x0800) / V4 / ASK)
odd("802.3 with a length longer than the frame", Dot3(src="02:00:00:00:00:01", dst="01:80:c2:00:00:00", len=1400) / LLC(dsap=0x42, ssap=0x42, ctrl=3) / STP())
odd("type between the lengths and the types", patched(ETH / Raw(b"x" * 40), _12="05f0"))
odd("ARP request", ETH / ARP(op=1, hwsrc="02:00:00:00:00:01", psrc="192.0.2.1", pdst="192.0.2.9"))
odd("ARP reply, tagged", ETH / Dot1Q(vlan=3) / ARP(op=2, hwsrc="02:00:00:00:00:01", psrc="192.0.2.1", hwdst="02:00:00:00:00:02", pdst="192.0.2.9"))
odd("ARP with another hardware type", ETH / ARP(hwtype=6, hwlen=8, op=1, hwsrc="0200000000010203", hwdst=b"\0" * 8, psrc="192.0.2.1", pdst="192.0.2.9"))
odd("ARP cut in its addresses", ETH / ARP(op=1, hwsrc="02:00:00:00:00:01", psrc="192.0.2.1", pdst="192.0.2.9"), cut=30)
odd("LLDP", patched(ETH / Raw(bytes.fromhex("0207040200000000010403056c616e3006020078 0000".replace(" ", ""))), _12="88cc"))
odd("unknown type", patched(ETH / Raw(b"whatever"), _12="88b5"))
odd("an empty frame", b"")
odd("an empty capture of a long frame", b"", wire=1514)
odd("one byte", b"\xff")
odd("13 bytes", raw(ETH)[:13])
odd("an Ethernet header alone", raw(ETH / V4)[:14])

# --- IPv4
odd("IHL 4", patched(ETH / V4 / WEB, _14="44"))
odd("IHL 0", patched(ETH / V4 / WEB, _14="40"))
odd("IHL 15 in a short packet", patched(ETH / V4 / UDP(sport=1, dport=2), _14="4f"))
odd("version 5", patched(ETH / V4 / WEB, _14="55"))
odd("version 6 under the IPv4 type", patched(ETH / V4 / WEB, _14="65"))
odd("total length 0 (offload)", patched(ETH / V4 / WEB, _16="0000"))
odd("total length below the header's", patched(ETH / V4 / WEB, _16="0013"))
odd("total length past the frame", patched(ETH / V4 / WEB, _16="ffff"))
odd("total length that ends inside TCP's header", patched(ETH / V4 / WEB, _16="0020"))
odd("total length that ends inside the payload", patched(ETH / V4 / WEB, _16="0030"))
odd("header cut in the addresses", ETH / V4 / WEB, cut=31)
odd("header cut in the options", ETH / IP(src="192.0.2.1", dst="198.51.100.7", options=[b"\x07\x27\x04" + b"\0" * 36, b"\0"]) / WEB, cut=50)
odd("60 bytes of header", ETH / IP(src="192.0.2.1", dst="198.51.100.7", options=[b"\x07\x27\x04" + b"\0" * 36, b"\0"]) / WEB)
odd("options of length 0", patched(ETH / IP(src="192.0.2.1", dst="198.51.100.7", options=[b"\x82\x04ab"]) / WEB, _35="00"))
odd("reserved flag (evil bit)", patched(ETH / V4 / WEB, _20="8000"))
odd("first fragment", ETH / IP(src="192.0.2.1", dst="198.51.100.7", flags="MF", id=77) / UDP(sport=1, dport=2, len=108) / Raw(b"f" * 48))
odd("second fragment", ETH / IP(src="192.0.2.1", dst="198.51.100.7", frag=7, proto=17, id=77) / Raw(b"\0P\0P" + b"f" * 48))
odd("first fragment too small for TCP's header", ETH / IP(src="192.0.2.1", dst="198.51.100.7", flags="MF") / Raw(raw(WEB)[:8]), wire=60)
odd("fragment at offset 8191", ETH / IP(src="192.0.2.1", dst="198.51.100.7", frag=8191, proto=6) / Raw(b"\0P\0P" + b"f" * 20))
odd("a TCP packet of nothing", ETH / IP(src="192.0.2.1", dst="198.51.100.7", proto=6))
odd("TTL 0, all addresses the same", ETH / IP(src="127.0.0.1", dst="127.0.0.1", ttl=0) / WEB)
odd("broadcast", Ether(src="02:00:00:00:00:01", dst="ff:ff:ff:ff:ff:ff") / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67) / Raw(b"\1" * 20))
odd("authentication header", ETH / V4 / AH(nh=6, payloadlen=4, spi=5, seq=1, icv=b"i" * 12) / WEB)
odd("ESP", ETH / V4 / ESP(spi=9, seq=1, data=b"secret" * 5))
odd("protocol 255", ETH / IP(src="192.0.2.1", dst="198.51.100.7", proto=255) / Raw(b"reserved"))
odd("OSPF", ETH / IP(src="192.0.2.1", dst="224.0.0.5", proto=89, ttl=1) / Raw(bytes.fromhex("0201002c c0000201 00000000") + b"\0" * 32))

# --- IPv6
odd("hop-by-hop, destination options, routing, fragment", ETH / V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrDestOpt() / IPv6ExtHdrRouting(addresses=["2001:db8::9"]) / IPv6ExtHdrFragment(m=1, id=3) / WEB)
odd("second fragment behind hop-by-hop", ETH / V6 / IPv6ExtHdrHopByHop() / IPv6ExtHdrFragment(nh=6, offset=5, id=3) / Raw(b"\0P\0P" + b"f" * 40))
odd("atomic fragment", ETH / V6 / IPv6ExtHdrFragment(id=4) / ASK)
odd("authentication header before TCP", ETH / V6 / AH(nh=6, payloadlen=4, spi=5, seq=1, icv=b"i" * 12) / WEB)
odd("no next header", ETH / IPv6(src="2001:db8::1", dst="2001:db8:f::7", nh=59) / Raw(b"nothing"))
odd("extension header longer than the packet", patched(ETH / V6 / IPv6ExtHdrDestOpt() / WEB, _55="ff"))
odd("extension header cut", ETH / V6 / IPv6ExtHdrHopByHop() / WEB, cut=57)
odd("thirty destination options headers", patched(ETH / V6 / Raw(bytes.fromhex("3c00010400000000") * 29 + bytes.fromhex("0600010400000000") + raw(WEB)), _20="3c"))
odd("payload length 0", patched(ETH / V6 / WEB, _18="0000"))
odd("payload length past the frame", patched(ETH / V6 / WEB, _18="ffff"))
odd("payload length that ends inside UDP's header", patched(ETH / V6 / ASK, _18="0005"))
odd("version 4 under the IPv6 type", patched(ETH / V6 / WEB, _14="45"))
odd("header cut in the addresses", ETH / V6 / WEB, cut=40)
odd("neighbour solicitation", ETH / IPv6(src="fe80::1", dst="ff02::1:ff00:7", hlim=255) / ICMPv6ND_NS(tgt="fe80::7"))
odd("traffic class and flow label", ETH / IPv6(src="2001:db8::1", dst="2001:db8:f::7", tc=0xB9, fl=0xFEDCB) / ASK)
odd("ESP behind IPv6", ETH / V6 / ESP(spi=9, seq=1, data=b"secret" * 5))

# --- TCP
odd("data offset 4", patched(ETH / V4 / WEB, _46="40"))
odd("data offset 0", patched(ETH / V4 / WEB, _46="00"))
odd("data offset 15 past the packet", patched(ETH / V4 / TCP(sport=1, dport=80), _46="f0"))
odd("all options", ETH / V4 / SYN)
odd("option of length 0", patched(ETH / V4 / TCP(sport=1, dport=80, options=[("MSS", 1400)]) / b"x", _55="00"))
odd("option longer than the header", patched(ETH / V4 / TCP(sport=1, dport=80, options=[("MSS", 1400)]) / b"x", _55="28"))
odd("MSS option of the wrong length", patched(ETH / V4 / TCP(sport=1, dport=80, options=[("MSS", 1400)]) / b"x", _55="03"))
odd("end of options, then rubbish", patched(ETH / V4 / TCP(sport=1, dport=80, options=[("NOP", None)] * 8) / b"x", _54="0002040102030405"))
odd("options cut", ETH / V4 / SYN, cut=58)
odd("ports only", ETH / V4 / WEB, cut=38)
odd("half a port", ETH / V4 / WEB, cut=35)
odd("reserved bits, NS, CWR, ECE", patched(ETH / V4 / WEB, _46="5f", _47="d8"))
odd("RST with a text", ETH / V4 / TCP(sport=80, dport=4, flags="R") / b"go away")
odd("urgent pointer", ETH / V4 / TCP(sport=23, dport=4, flags="PAU", urgptr=513) / b"\xff\xf4")
odd("Christmas tree", ETH / V4 / TCP(sport=6, dport=6, flags="FSRPAUEC", seq=0xFFFFFFFF, ack=0x80000000, window=0))
odd("no flags", ETH / V6 / TCP(sport=0, dport=0, flags=0))
odd("sequence numbers that wrap", ETH / V4 / TCP(sport=9, dport=80, flags="A", seq=0xFFFFFFF0) / Raw(b"w" * 64))

# --- UDP, ICMP, SCTP
odd("UDP length 0", patched(ETH / V4 / ASK, _38="0000"))
odd("UDP length 7", patched(ETH / V4 / ASK, _38="0007"))
odd("UDP length shorter than the datagram", patched(ETH / V4 / ASK, _38="000c"))
odd("UDP length past the packet", patched(ETH / V4 / ASK, _38="ffff"))
odd("half a UDP header", ETH / V4 / ASK, cut=38)
odd("seven bytes of a UDP header", ETH / V4 / ASK, cut=41)
odd("UDP without data", ETH / V4 / UDP(sport=1, dport=53))
odd("jumbogram: UDP length 0 over IPv6", patched(ETH / V6 / ASK, _58="0000"))
odd("ICMP error that quotes a TCP packet", ETH / V4 / ICMP(type=3, code=1) / IP(src="198.51.100.7", dst="192.0.2.1") / TCP(sport=80, dport=40000, flags="S"))
odd("ICMP cut in its type", ETH / V4 / ICMP(type=8), cut=34)
odd("one byte of ICMP", ETH / V4 / ICMP(type=8), cut=35)
odd("ICMPv6 behind IPv4", ETH / IP(src="192.0.2.1", dst="198.51.100.7", proto=58) / Raw(bytes.fromhex("80007f0000000000")))
odd("ICMPv6 echo", ETH / V6 / ICMPv6EchoRequest(id=1, seq=2, data=b"ping"))
odd("ICMP behind IPv6", ETH / IPv6(src="2001:db8::1", dst="2001:db8:f::7", nh=1) / Raw(raw(ICMP(type=8))))
odd("SCTP INIT", ETH / V4 / SCTP(sport=3868, dport=3869, tag=0) / SCTPChunkInit(init_tag=1))
odd("SCTP over IPv6, two bytes of ports", ETH / V6 / SCTP(sport=3868, dport=3869), cut=56)
odd("SCTP header alone", ETH / V6 / SCTP(sport=5000, dport=80, tag=77))
odd("UDP-Lite", ETH / IP(src="192.0.2.1", dst="198.51.100.7", proto=136) / Raw(b"\0P\0Q\0\x08\0\0lite"))
odd("DCCP", ETH / IP(src="192.0.2.1", dst="198.51.100.7", proto=33) / Raw(bytes.fromhex("13881389 06000000 01000001 00000000")))

# --- tunnels
INNER = IP(src="10.1.1.1", dst="10.2.2.2", ttl=9) / TCP(sport=1111, dport=8080, flags="A") / b"inner payload"
INNER6 = IPv6(src="2001:db8:a::1", dst="2001:db8:b::2", hlim=9) / UDP(sport=2222, dport=53) / b"inner"
INNER_ETH = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")
odd("GRE", ETH / V4 / GRE(proto=0x0800) / INNER)
odd("GRE with checksum, key and sequence number", ETH / V4 / GRE(proto=0x86DD, chksum_present=1, key_present=1, seqnum_present=1, key=7, sequence_number=1) / INNER6)
odd("GRE with Ethernet and a VLAN inside", ETH / V4 / GRE(proto=0x6558) / INNER_ETH / Dot1Q(vlan=77) / INNER)
odd("GRE over IPv6", ETH / V6 / GRE(proto=0x0800) / INNER)
odd("GRE in GRE", ETH / V4 / GRE(proto=0x0800) / IP(src="10.9.9.9", dst="10.8.8.8") / GRE(proto=0x0800) / INNER)
odd("GRE version 1 (PPTP)", patched(ETH / V4 / Raw(bytes.fromhex("3081880b0010000700000001000000020021") + raw(INNER)), _23="2f"))
odd("GRE with an unknown type", ETH / V4 / GRE(proto=0x88B5) / Raw(b"whatever"))
odd("GRE with routing", patched(ETH / V4 / GRE(proto=0x0800) / INNER, _34="4000"))
odd("three bytes of GRE", ETH / V4 / GRE(proto=0x0800) / INNER, cut=37)
odd("GRE inner header cut", ETH / V4 / GRE(proto=0x0800) / INNER, cut=60)
odd("IP in IP", ETH / V4 / INNER)
odd("6in4", ETH / IP(src="192.0.2.1", dst="198.51.100.7", proto=41) / INNER6)
odd("4in6", ETH / IPv6(src="2001:db8::1", dst="2001:db8:f::7", nh=4) / INNER)
odd("6in6", ETH / IPv6(src="2001:db8::1", dst="2001:db8:f::7", nh=41) / INNER6)
odd("IP in IP in IP", ETH / V4 / IP(src="10.9.9.9", dst="10.8.8.8") / INNER)
odd("IP in IP, a later fragment", ETH / IP(src="192.0.2.1", dst="198.51.100.7", proto=4, frag=3) / INNER)
odd("VXLAN", ETH / V4 / UDP(sport=50000, dport=4789, chksum=0) / VXLAN(vni=77, flags=8) / INNER_ETH / INNER)
odd("VXLAN without the I flag", ETH / V4 / UDP(sport=50000, dport=4789) / VXLAN(vni=77, flags=0) / INNER_ETH / INNER)
odd("VXLAN over IPv6 with a VLAN inside", ETH / V6 / UDP(sport=50000, dport=4789) / VXLAN(vni=0xFFFFFF, flags=8) / INNER_ETH / Dot1Q(vlan=5) / INNER6)
odd("VXLAN from port 4789 only", ETH / V4 / UDP(sport=4789, dport=50000) / VXLAN(vni=77, flags=8) / INNER_ETH / INNER)
odd("VXLAN header cut", ETH / V4 / UDP(sport=50000, dport=4789) / VXLAN(vni=77, flags=8) / INNER_ETH / INNER, cut=48)
odd("VXLAN inner ARP", ETH / V4 / UDP(sport=50000, dport=4789) / VXLAN(vni=1, flags=8) / INNER_ETH / ARP(op=1, hwsrc="02:00:00:00:00:01", psrc="10.1.1.1", pdst="10.1.1.2"))
odd("GENEVE", ETH / V4 / UDP(sport=50000, dport=6081) / GENEVE(vni=88, proto=0x6558) / INNER_ETH / INNER)
odd("GENEVE with options, IPv4 inside", ETH / V4 / UDP(sport=50000, dport=6081) / Raw(bytes.fromhex("02000800 00006300 0102800100000009") + raw(INNER)))
odd("GENEVE options past the packet", ETH / V4 / UDP(sport=50000, dport=6081) / Raw(bytes.fromhex("3f000800 00006300") + raw(INNER)))
odd("GENEVE version 1", ETH / V4 / UDP(sport=50000, dport=6081) / Raw(bytes.fromhex("40000800 00006300") + raw(INNER)))
odd("GTP-U, which is not looked into", ETH / V4 / UDP(sport=2152, dport=2152) / Raw(bytes.fromhex("30ff") + struct.pack("!HI", len(INNER), 5) + raw(INNER)))

# --- other link types
for what, packet in (("IPv4", V4 / WEB), ("IPv6", V6 / ASK), ("GRE", V4 / GRE(proto=0x0800) / INNER), ("IPv4 with options and a cut", IP(src="192.0.2.1", dst="198.51.100.7", options=[b"\x07\x0b\x04" + b"\0" * 8, b"\0"]) / WEB)):
    cut = 40 if "cut" in what else None
    v6 = packet.version == 6
    odd(f"raw: {what}", packet, cut, link=RAW)
    odd(f"raw {'IPv6' if v6 else 'IPv4'} only: {what}", packet, cut, link=IPV6 if v6 else IPV4)
    for family in (28, 24, 30, 10) if v6 else (2,):
        odd(f"null, family {family}: {what}", struct.pack("<I", family) + raw(packet), cut, link=NULL)
    odd(f"loop: {what}", struct.pack(">I", 24 if v6 else 2) + raw(packet), cut, link=LOOP)
    ethertype = 0x86DD if v6 else 0x0800
    for kind in (0, 4):
        odd(f"cooked, kind {kind}: {what}", struct.pack("!HHH8sH", kind, 1, 6, b"\2\0\0\0\0\1\0\0", ethertype) + raw(packet), cut, link=SLL)
        odd(f"cooked v2, kind {kind}: {what}", struct.pack("!HHIHBB8s", ethertype, 0, 3, 1, kind, 6, b"\2\0\0\0\0\1\0\0") + raw(packet), cut, link=SLL2)
odd("raw: version 7", b"\x70" + b"\0" * 40, link=RAW)
odd("raw: nothing", b"", link=RAW)
odd("raw IPv4 only: an IPv6 packet", V6 / WEB, link=IPV4)
odd("null, family 7: unknown", struct.pack("<I", 7) + raw(V4 / WEB), link=NULL)
odd("null, family in the other byte order", struct.pack(">I", 2) + raw(V4 / WEB), link=NULL)
odd("null: three bytes", b"\2\0\0", link=NULL)
odd("cooked: a VLAN tag", struct.pack("!HHH8sH", 0, 1, 6, b"\2\0\0\0\0\1\0\0", 0x8100) + raw(Dot1Q(vlan=12) / V4 / WEB), link=SLL)
odd("cooked: ARP", struct.pack("!HHH8sH", 0, 1, 6, b"\2\0\0\0\0\1\0\0", 0x0806) + raw(ARP(op=1, hwsrc="02:00:00:00:00:01", psrc="192.0.2.1", pdst="192.0.2.9")), link=SLL)
odd("cooked: 802.2 (protocol 4)", struct.pack("!HHH8sH", 0, 1, 6, b"\2\0\0\0\0\1\0\0", 4) + raw(LLC(dsap=0x42, ssap=0x42, ctrl=3) / STP()), link=SLL)
odd("cooked: 15 bytes", b"\0" * 15, link=SLL)
odd("cooked v2: two VLAN tags", struct.pack("!HHIHBB8s", 0x88A8, 0, 3, 1, 0, 6, b"\2\0\0\0\0\1\0\0") + raw(Dot1Q(vlan=12) / Dot1Q(vlan=13) / V6 / WEB), link=SLL2)
odd("cooked v2: 19 bytes", b"\x08\0" + b"\0" * 17, link=SLL2)

NAMES = {ETHERNET: "ether0", RAW: "tun0", NULL: "lo0", LOOP: "lo1", SLL: "any", SLL2: "any2", IPV4: "ip4", IPV6: "ip6"}
FILES = {  # link type: file, byte order, ticks a second
    ETHERNET: ("odd.pcap", "<", 10**6), RAW: ("odd-raw.pcap", ">", 10**9), NULL: ("odd-null.pcap", "<", 10**6),
    LOOP: ("odd-loop.pcap", ">", 10**6), SLL: ("odd-sll.pcap", "<", 10**9), SLL2: ("odd-sll2.pcap", ">", 10**9),
    IPV4: ("odd-ipv4.pcap", "<", 10**6), IPV6: ("odd-ipv6.pcap", "<", 10**6),
}
START = 1_700_000_000 * 10**9


def pcap(path, order, ticks, link):
    magic = 0xA1B2C3D4 if ticks == 10**6 else 0xA1B23C4D
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)]
    for i, (kind, _, data, wire) in enumerate(FRAMES):
        if kind == link:
            seconds, nanos = divmod(START + i * 1_000_123, 10**9)
            out.append(struct.pack(order + "IIII", seconds, nanos * ticks // 10**9, len(data), wire) + data)
    open(path, "wb").write(b"".join(out))


def pcapng(path, order):
    def block(kind, body):
        size = len(body) + 12
        return struct.pack(order + "II", kind, size) + body + struct.pack(order + "I", size)

    def option(code, value):
        return struct.pack(order + "HH", code, len(value)) + value + b"\0" * (-len(value) % 4)

    def options(*given):
        return b"".join(given) + struct.pack(order + "HH", 0, 0)

    resolutions = {ETHERNET: (b"\x06", 10**6), RAW: (b"\x09", 10**9), NULL: (b"\x03", 10**3), LOOP: (b"\x94", 2**20)}
    links = list(NAMES)
    out = [block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))]
    for link in links:
        resolution = resolutions.get(link)
        given = [option(2, NAMES[link].encode())] + ([option(9, resolution[0])] if resolution else [])
        out.append(block(1, struct.pack(order + "HHI", link, 0, 0) + options(*given)))
    for i, (link, what, data, wire) in enumerate(FRAMES):
        ticks = (START + i * 1_000_123) * resolutions.get(link, (b"", 10**6))[1] // 10**9
        head = struct.pack(order + "IIIII", links.index(link), ticks >> 32, ticks & 0xFFFFFFFF, len(data), wire)
        out.append(block(6, head + data + b"\0" * (-len(data) % 4) + options(option(1, what.encode()))))
    open(path, "wb").write(b"".join(out))


to = sys.argv[1]
for link, (name, order, ticks) in FILES.items():
    pcap(f"{to}/{name}", order, ticks, link)
pcapng(f"{to}/odd.pcapng", ">")
