-- Says of every frame that carries TCP in its outermost IP packet where it stands in its stream, as tshark's dissectors see it.
--
--   tshark -r CAPTURE -q -X lua_script:streams.lua
--
-- A line each: `tcp FRAME STREAM SOURCE PORT SEQUENCE SYN LENGTH AT HELD`: the number of the stream, who sends, the raw sequence
-- number, whether SYN is set, the payload's length, where it begins in the frame and how much of it was captured (`- 0` when
-- none was); or `broken FRAME STREAM` for one whose TCP is cut or is a fragment, and of which the rest is unknown. Frames with
-- several IP layers, and what ICMP errors quote, are left out. (Rejected: `-T fields`, which does not say where bytes are.)

local function field(name) return Field.new(name) end
local protocols, stream = field("frame.protocols"), field("tcp.stream")
local source4, source6, port = field("ip.src"), field("ipv6.src"), field("tcp.srcport")
local sequence, syn, length = field("tcp.seq_raw"), field("tcp.flags.syn"), field("tcp.len")
local payload, more, more6 = field("tcp.payload"), field("ip.flags.mf"), field("ipv6.fraghdr.more")

local frames = Listener.new("frame", "tcp")
function frames.packet(pinfo)
    local ips, quoted = 0, false
    for name in tostring(protocols()):gmatch("[^:]+") do
        if name == "ip" or name == "ipv6" then ips = ips + 1 end
        if name == "icmp" or name == "icmpv6" then quoted = true end
    end
    local number = stream()
    if ips ~= 1 or quoted or not number then return end
    local fragment = (more() and more().value) or (more6() and more6().value)
    if fragment or not (sequence() and syn() and length()) then
        print("broken", pinfo.number, number)
        return
    end
    local data = payload()
    print("tcp", pinfo.number, number, source4() or source6(), port(), sequence(), syn().value and 1 or 0, length(),
        data and data.offset or "-", data and data.len or 0)
end
