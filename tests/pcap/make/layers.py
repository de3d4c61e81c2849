#!/usr/bin/env python3
"""Frames for the test of layers (tests/tests/oracle/layers.rs), the same bytes each time. Needs scapy.

usage: layers.py DIR

before.pcap   headers between Ethernet and IP
tunnels.pcap  tunnels
unread.pcap   headers and tunnels that Wireshark looks behind and mirrorc does not
leaves.pcap   what no packet follows

In the first two, TCP from 40000 to 80 is in each frame, whether or not somebody finds it. The names are for readers.
"""
import struct
import sys

from scapy.all import IP, TCP, UDP, IPv6, Raw, raw
from scapy.utils import PcapWriter

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
C, D = "02:00:00:00:00:01", "00:1b:44:11:3a:b7"  # Wireshark knows the vendor of one
INTEL, VMWARE = "00:1b:21:00:00:0c", "00:50:56:00:00:0d"  # and of both


def eth(kind, rest, src=A, dst=B):
    return bytes.fromhex((dst + src).replace(":", "")) + struct.pack("!H", kind) + rest


def llc(rest, src=A, dst=B):
    """An 802.3 frame: a length instead of a type."""
    return eth(len(rest), rest, src, dst)


TCP4 = raw(IP(src="10.1.0.1", dst="10.1.0.2", id=7) / TCP(sport=40000, dport=80, flags="PA", seq=1, ack=1) / Raw(b"hello"))
TCP6 = raw(IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(sport=40000, dport=80, flags="PA", seq=1, ack=1) / Raw(b"hello"))
UDP4 = raw(IP(src="10.1.0.1", dst="10.1.0.2", id=8) / UDP(sport=5000, dport=53) / Raw(b"\0\1\1\0\0\0\0\0\0\0\0\0"))
IP4, IP6, VLAN, ARP = 0x0800, 0x86DD, 0x8100, 0x0806


def vlan(vid, kind, rest):
    return struct.pack("!HH", vid, kind) + rest


def label(value, bottom, rest):
    return struct.pack("!I", value << 12 | bottom << 8 | 64) + rest


def ip4(proto, rest, **more):
    return raw(IP(src="192.0.2.1", dst="192.0.2.2", id=9, proto=proto, **more) / Raw(rest))


def ip6(proto, rest):
    return raw(IPv6(src="2001:db8:9::1", dst="2001:db8:9::2", nh=proto) / Raw(rest))


def udp(sport, dport, rest):
    return struct.pack("!HHHH", sport, dport, 8 + len(rest), 0) + rest


def over(sport, dport, rest):
    return eth(IP4, ip4(17, udp(sport, dport, rest)))


def gre(flags, kind, options, rest):
    return eth(IP4, ip4(47, struct.pack("!HH", flags, kind) + options + rest))


h = bytes.fromhex
PW = h("00000000")
ETH4, ETH6 = eth(IP4, TCP4, C, D), eth(IP6, TCP6, C, D)
ETHV = eth(VLAN, vlan(10, IP4, TCP4), C, D)

BEFORE = {
    # Ethernet in MPLS (RFC 4448), with and without a control word.
    "pw": eth(0x8847, label(100, 1, PW + ETH4)),
    "pw sequence": eth(0x8847, label(100, 1, h("0000002a") + ETH4)),
    "pw vlan": eth(0x8847, label(100, 1, PW + ETHV)),
    "pw two labels": eth(0x8847, label(100, 0, label(200, 1, PW + ETH6))),
    "pw without control word": eth(0x8847, label(100, 1, eth(IP4, TCP4, INTEL, VMWARE))),
    "pw without control word, high": eth(0x8847, label(100, 1, eth(IP4, TCP4, C, "8a:00:00:00:00:0d"))),
    "pw without control word, two": eth(0x8847, label(100, 1, eth(IP4, TCP4, C, "22:00:00:00:00:0d"))),
    "pw with llc": eth(0x8847, label(100, 1, PW + llc(h("aaaa03000000") + struct.pack("!H", IP4) + TCP4, C, D))),
    "mpls ip": eth(0x8847, label(100, 1, TCP4)),
    "mpls explicit null": eth(0x8847, label(0, 1, TCP4)),
    # Tags of switches.
    "vn-tag": eth(0x8926, h("00010002") + struct.pack("!H", IP4) + TCP4),
    "vn-tag vlan": eth(0x8926, h("00010002") + struct.pack("!H", VLAN) + vlan(101, IP4, TCP4)),
    "cisco metadata": eth(0x8909, h("010100010064") + struct.pack("!H", IP4) + TCP4),
    "vlan cisco metadata": eth(VLAN, vlan(10, 0x8909, h("010100010064") + struct.pack("!H", IP6) + TCP6)),
    "time tag": eth(0x8988, h("0123456789ab") + struct.pack("!H", IP4) + TCP4),
    "e-tag": eth(0x893F, h("000000010000") + struct.pack("!H", IP4) + TCP4),
    "r-tag": eth(0xF1C1, h("00000001") + struct.pack("!H", IP4) + TCP4),
    "r-tag vlan": eth(VLAN, vlan(5, 0xF1C1, h("00000001") + struct.pack("!H", IP4) + TCP4)),
    "hsr": eth(0x892F, h("00500001") + struct.pack("!H", IP4) + TCP4),
    "prp": eth(IP4, TCP4 + h("0000000000000000000000000000") + h("0007a03488fb")),
    "macsec clear": eth(0x88E5, h("0000") + h("00000001") + struct.pack("!H", IP4) + TCP4 + bytes(16)),
    "macsec clear sci": eth(0x88E5, h("2000") + h("00000001") + h("0200000000010001") + struct.pack("!H", IP4) + TCP4 + bytes(16)),
    "pbb": eth(0x88E7, h("00000064") + ETH4),
    "pbb b-tag": eth(0x88A8, vlan(3, 0x88E7, h("00000064") + ETHV)),
    "fabricpath": eth(0x8903, h("0001") + ETH4),
    "nsh ip": eth(0x894F, h("0fc20101") + h("00000101") + bytes(4) + TCP4),
    "nsh ip md1": eth(0x894F, h("0fc60101") + h("00000101") + bytes(16) + TCP4),
    "nsh ethernet": eth(0x894F, h("0fc20203") + h("00000101") + ETH4),
    "nsh ipv6": eth(0x894F, h("0fc20202") + h("00000101") + TCP6),
    "nsh mpls": eth(0x894F, h("0fc20205") + h("00000101") + label(100, 1, TCP4)),
    "trill": eth(0x22F3, h("003f00010002") + ETH4),
    "trill options": eth(0x22F3, h("007f00010002") + bytes(4) + ETH4),
    "batman unicast 15": eth(0x4305, h("400f32010a0000000001") + ETH4),
    "batman unicast 14": eth(0x4305, h("030e32010a0000000001") + ETH4),
    "batman 4 addresses 15": eth(0x4305, h("420f32010a0000000001") + h("0a000000000201") + h("00") + ETH4),
    "batman bcast 15": eth(0x4305, h("010f320000000001") + h("0a0000000001") + ETH4),
    "cisco snap": llc(h("aaaa030000f8") + struct.pack("!H", IP4) + TCP4),
    "bridged snap": llc(h("aaaa030080c2") + h("00070000") + ETH4),
    "bridged snap fcs": llc(h("aaaa030080c2") + h("00010000") + ETH4 + bytes(4)),
    "snap 802.1h": llc(h("aaaa03000000") + struct.pack("!H", IP6) + TCP6),
    "llc ip": llc(h("060603") + TCP4),
    "llc type in jumbo": eth(0x8870, h("aaaa03000000") + struct.pack("!H", IP4) + TCP4),
    "isl": h("01000c000000") + h("02000000000a") + struct.pack("!H", 12 + len(ETH4)) + h("aaaa0300000c") + h("001400000000") + ETH4,
    "isl 0c": h("0c000c000000") + h("02000000000a") + struct.pack("!H", 12 + len(ETH4)) + h("aaaa0300000c") + h("001400000000") + ETH4,
    "old qinq 9200": eth(0x9200, vlan(5, IP4, TCP4)),
    "old qinq 9100": eth(0x9100, vlan(5, IP4, TCP4)),
    "pppoe": eth(0x8864, h("11000001") + struct.pack("!H", 2 + len(TCP4)) + h("0021") + TCP4),
    "ppp bridging": eth(0x8864, h("11000001") + struct.pack("!H", 4 + len(ETH4)) + h("0031") + h("0001") + ETH4),
    "ppp in hdlc ethertype": eth(0x880B, h("0021") + TCP4),
    "bridged 6558": eth(0x6558, ETH4),
    "ieee 802a oui": eth(0x88B7, h("000000") + struct.pack("!H", IP4) + TCP4),
    "dcb cn tag": eth(0x22E9, h("0001") + struct.pack("!H", IP4) + TCP4),
    "marvell dsa": eth(0xDADA, h("0000c0010000") + struct.pack("!H", IP4) + TCP4),
    "wlan compressed": eth(0x8929, h("0001") + TCP4),
    "arista 7b": eth(0xD28B, h("00010012") + bytes(6) + struct.pack("!H", IP4) + TCP4),
    "geonetworking vlan 8a": eth(0x88A8, vlan(5, 0x8847, label(100, 1, TCP4))),
    "bpq": eth(0x08FF, h("0000") + TCP4),
    "lwapp": eth(0x88BB, h("0000") + TCP4),
    "ip 0801": eth(0x0801, TCP4),
}

E2 = h("10010001") + h("00000000")
E3 = h("20010001") + h("00000000") + h("00000000")
E3O = h("20010001") + h("00000000") + h("00000001") + bytes(8)
SEQ = h("00000001")
TUNNELS = {
    "erspan 1": gre(0, 0x88BE, b"", ETH4),
    "erspan 2": gre(0x1000, 0x88BE, SEQ, E2 + ETH4),
    "erspan 2 six": gre(0x1000, 0x88BE, SEQ, E2 + ETH6),
    "erspan 2 key": gre(0x3000, 0x88BE, bytes(4) + SEQ, E2 + ETHV),
    "erspan 3": gre(0x1000, 0x22EB, SEQ, E3 + ETH4),
    "erspan 3 subheader": gre(0x1000, 0x22EB, SEQ, E3O + ETH6),
    "erspan 3 without sequence": gre(0, 0x22EB, b"", E3 + ETH4),
    "erspan 3 raw ip": gre(0x1000, 0x22EB, SEQ, h("20010001") + h("00000000") + h("00000800") + TCP4),
    "gre wccp": gre(0, 0x883E, b"", TCP4),
    "gre wccp 2": gre(0, 0x883E, b"", h("00000000") + TCP4),
    "gre nsh": gre(0, 0x894F, b"", h("0fc20201") + h("00000101") + TCP4),
    "gre vlan": gre(0, VLAN, b"", vlan(10, IP4, TCP4)),
    "gre ppp": gre(0, 0x880B, b"", h("0021") + TCP4),
    "gre pptp": gre(0x3001, 0x880B, struct.pack("!HH", 4 + len(TCP4), 1) + SEQ, h("ff030021") + TCP4),
    "gre pptp ack": gre(0x3081, 0x880B, struct.pack("!HH", 2 + len(TCP4), 1) + SEQ + SEQ, h("0021") + TCP4),
    "gre pptp short": gre(0x3001, 0x880B, struct.pack("!HH", 1 + len(TCP4), 1) + SEQ, h("21") + TCP4),
    "gre aruba": gre(0, 0x8200, b"", h("0000") + TCP4),
    "gre bridged": gre(0, 0x6558, b"", ETH4),
    "gre teb mpls pw": gre(0, 0x8847, b"", label(100, 1, PW + ETH4)),
    "vxlan": over(1234, 4789, h("0800000000000700") + ETH4),
    "vxlan from": over(4789, 1234, h("0800000000000700") + ETH4),
    "vxlan no flag": over(1234, 4789, h("0000000000000700") + ETH4),
    "vxlan gbp": over(1234, 4789, h("8800001000000700") + ETH4),
    "vxlan-gpe ip": over(1234, 4790, h("0c00000100000700") + TCP4),
    "vxlan-gpe ip6": over(1234, 4790, h("0c00000200000700") + TCP6),
    "vxlan-gpe eth": over(1234, 4790, h("0c00000300000700") + ETH4),
    "vxlan-gpe nsh": over(1234, 4790, h("0c00000400000700") + h("0fc20201") + h("00000101") + TCP4),
    "vxlan-gpe mpls": over(1234, 4790, h("0c00000500000700") + label(100, 1, TCP4)),
    "vxlan-gpe no p": over(1234, 4790, h("0800000000000700") + ETH4),
    "vxlan-gpe from": over(4790, 1234, h("0c00000100000700") + TCP4),
    "geneve": over(1234, 6081, h("0000655800000700") + ETH4),
    "geneve from": over(6081, 1234, h("0000655800000700") + ETH4),
    "geneve nsh": over(1234, 6081, h("0000894f00000700") + h("0fc20201") + h("00000101") + TCP4),
    "gtp": over(2152, 2152, h("30ff") + struct.pack("!H", len(TCP4)) + h("00000001") + TCP4),
    "gtp six": over(2152, 2152, h("30ff") + struct.pack("!H", len(TCP6)) + h("00000001") + TCP6),
    "gtp sequence": over(2152, 2152, h("32ff") + struct.pack("!H", 4 + len(TCP4)) + h("00000001") + h("00010000") + TCP4),
    "gtp extension": over(2152, 2152, h("34ff") + struct.pack("!H", 8 + len(TCP4)) + h("00000001") + h("00000085") + h("01100100") + TCP4),
    "gtp extensions": over(2152, 2152, h("34ff") + struct.pack("!H", 12 + len(TCP4)) + h("00000001") + h("00000085") + h("01100140") + h("01000000") + TCP4),
    "gtp pdcp": over(2152, 2152, h("34ff") + struct.pack("!H", 8 + len(TCP4)) + h("00000001") + h("000000c0") + h("01000100") + TCP4),
    "gtp from": over(2152, 5555, h("30ff") + struct.pack("!H", len(TCP4)) + h("00000001") + TCP4),
    "gtp ethernet": over(2152, 2152, h("30ff") + struct.pack("!H", len(ETH4)) + h("00000001") + ETH4),
    "gtp prime": over(2152, 2152, h("20ff") + struct.pack("!H", len(TCP4)) + h("00000001") + TCP4),
    "etherip": eth(IP4, ip4(97, h("3000") + ETH4)),
    "etherip six": eth(IP6, ip6(97, h("3000") + ETH4)),
    "l2tpv3 ip": eth(IP4, ip4(115, h("00000001") + ETH4)),
    "l2tpv3 ip sublayer": eth(IP4, ip4(115, h("00000001") + PW + ETH4)),
    "l2tpv3 udp": over(1701, 1701, h("00030000") + h("00000001") + ETH4),
    "l2tpv2": over(1701, 1701, h("00020001000100ff030021")[:8] + h("ff030021") + TCP4),
    "l2tpv2 right": over(1701, 1701, h("000200010001") + h("ff030021") + TCP4),
    "teredo": over(3544, 5555, TCP6),
    "teredo to": over(5555, 3544, TCP6),
    "teredo origin": over(3544, 5555, h("0000") + h("1234") + h("01020304") + TCP6),
    "teredo auth": over(3544, 5555, h("00010000") + bytes(8) + h("00") + TCP6),
    "teredo auth origin": over(3544, 5555, h("00010000") + bytes(8) + h("00") + h("0000") + h("1234") + h("01020304") + TCP6),
    "mpls in ip": eth(IP4, ip4(137, label(100, 1, TCP4))),
    "mpls in udp": over(5555, 6635, label(100, 1, TCP4)),
    "mpls in udp from": over(6635, 5555, label(100, 1, TCP4)),
    "mpls in udp pw": over(5555, 6635, label(100, 1, PW + ETH4)),
    "ip in ip": eth(IP4, ip4(4, TCP4)),
    "ip6 in ip": eth(IP4, ip4(41, TCP6)),
    "ip in ip6": eth(IP6, ip6(4, TCP4)),
    "ip6 in ip6": eth(IP6, ip6(41, TCP6)),
    "ip in ip 94": eth(IP4, ip4(94, TCP4)),
    "ip6 as 4": eth(IP4, ip4(4, TCP6)),
    "minimal 55": eth(IP4, ip4(55, h("0680") + h("0000") + h("0a010002") + h("0a010001") + TCP4[20:])),
    "srv6 ethernet 143": eth(IP6, ip6(143, ETH4)),
    "nsh 145": eth(IP4, ip4(145, h("0fc20101") + h("00000101") + TCP4)),
    "lisp": over(4341, 4341, h("0000000000000000") + TCP4),
    "nvgre": gre(0x2000, 0x6558, h("00000700"), ETH4),
    "tzsp": over(37008, 37008, h("01000001") + h("01") + ETH4),
    "tzsp to": over(1234, 37008, h("01000001") + h("01") + ETH4),
    "cisco erspan 0x88be seq no header": gre(0x1000, 0x88BE, SEQ, ETH4),
}

UNREAD = {
    "sctp in udp": over(9899, 9899, h("13881388") + h("00000001") + h("00000000") + h("0e000004")),
    "udp-lite": eth(IP4, ip4(136, struct.pack("!HHHH", 5000, 53, 8, 0) + UDP4[28:])),
    "dccp": eth(IP4, ip4(33, h("138813880400000010000001") + bytes(12))),
    "amt": over(5555, 2268, h("0600") + TCP4),
    "capwap": over(5247, 5247, h("0010000000000000") + ETH4),
    "pw associated channel": eth(0x8847, label(100, 1, h("10000021") + TCP4)),
    "experimental": eth(0x88B5, TCP4),
    "unknown in vxlan": over(1234, 4789, h("0800000000000700") + eth(0x88B5, TCP4)),
    "unknown in gre": gre(0, 0x88B5, b"", TCP4),
    "unknown protocol in gre": gre(0, IP4, b"", ip4(253, TCP4)),
    "unknown protocol": eth(IP6, ip6(254, TCP4)),
    "unknown in ppp": eth(0x8864, h("11000001") + struct.pack("!H", 2 + len(TCP4)) + h("00fd") + TCP4),
    "unknown sap": llc(h("040403") + TCP4),
    "unknown organisation": llc(h("aaaa03123456") + h("0800") + TCP4),
    "too many tags": eth(VLAN, vlan(1, VLAN, b"") * 70 + vlan(1, IP4, TCP4)),
    "too many labels": eth(0x8847, label(1, 0, b"") * 70 + label(1, 1, TCP4)),
    "too many extension headers": eth(IP6, ip6(60, h("3c00000000000000") * 70 + h("0600000000000000") + TCP6[40:])),
}

LEAVES = {
    "mplscp": eth(0x8864, h("11000001") + struct.pack("!H", 2 + 4 + len(TCP4)) + h("8281") + TCP4),
    "pppoe discovery": eth(0x8863, h("11090000000401010000")),
    "vxlan other ports": over(1234, 8472, h("0800000000000700") + ETH4),
    "gtp echo": over(2152, 2152, h("3201") + h("0004") + h("00000000") + h("00010000")),
    "esp in udp": over(4500, 4500, h("00000101") + h("00000001") + bytes(32)),
    "esp in udp from": over(4500, 1111, h("00000101") + h("00000001") + bytes(32)),
    "esp in udp to": over(1111, 4500, h("00000101") + h("00000001") + bytes(32)),
    "esp in udp short": over(4500, 4500, h("00000101")),
    "ike": over(4500, 4500, bytes(4) + bytes(8) + bytes(8) + h("21202208") + bytes(4) + h("0000001c")),
    "keep-alive": over(4500, 4500, h("ff")),
    "esp that begins with ff": over(4500, 4500, h("ff000001") + h("00000001") + bytes(32)),
    "wireguard": over(51820, 51820, h("04000000") + bytes(40)),
    "gue": over(5555, 6080, h("0004") + h("0000") + TCP4),
    "gue direct": over(5555, 6080, TCP4),
    "fou": over(5555, 5555, TCP4),
    "vrrp": eth(IP4, ip4(112, bytes(20))),
    "arp": eth(ARP, h("0001080006040001") + bytes(20)),
    "lldp": eth(0x88CC, bytes(46)),
    "macsec": eth(0x88E5, h("0c00") + h("00000001") + bytes(64)),
    "stp": llc(h("424203") + bytes(35)),
    "cdp": llc(h("aaaa0300000c") + h("2000") + bytes(30)),
    "ospf": eth(IP4, ip4(89, bytes(24))),
    "igmp": eth(IP4, ip4(2, h("1600f9fde0000005"))),
    "esp": eth(IP4, ip4(50, h("00000101") + h("00000001") + bytes(32))),
    "no next header": eth(IP6, ip6(59, b"")),
    "tcp": eth(IP4, TCP4),
    "vxlan": over(1234, 4789, h("0800000000000700") + ETH4),
    "dns from the port of vxlan": over(53, 4789, UDP4[28:]),
    "later fragment": eth(IP4, ip4(253, TCP4, frag=3)),
    "lcp": eth(0x8864, h("1100000100060000")[:6] + h("c021") + h("09010004")),
}

if __name__ == "__main__":
    for name, frames in (("before", BEFORE), ("tunnels", TUNNELS), ("unread", UNREAD), ("leaves", LEAVES)):
        with PcapWriter(f"{sys.argv[1]}/{name}.pcap", linktype=1, sync=True) as out:
            for i, (key, frame) in enumerate(frames.items()):
                packet = Raw(frame)
                packet.time = 1_700_000_000 + i
                out.write(packet)
                if "-v" in sys.argv:
                    print(name, i + 1, key, sep="\t")
