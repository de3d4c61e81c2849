-- Records which frames each of many display filters selects, in one pass of tshark over a capture.
--
--   ORACLE_FILTERS=FILE tshark -r CAPTURE -q -X lua_script:tshark.lua
--
-- FILE has a filter per line. Prints, a line each: `layers`, the frames with several IP or Ethernet layers (in
-- which a field of tshark's stands for any layer); `refused N MESSAGE` for a filter that tshark does not take; and `match N FRAME...`,
-- N counting from 1. (Rejected: a run of tshark for every filter, at a third of a second each.)

local filters, hits, layers = {}, {}, {}
for line in io.lines(os.getenv("ORACLE_FILTERS")) do filters[#filters + 1] = line end

local protocols = Field.new("frame.protocols")
local frames = Listener.new("frame")
function frames.packet(pinfo)
    local ip, eth = 0, 0
    for name in tostring(protocols()):gmatch("[^:]+") do
        if name == "ip" or name == "ipv6" then ip = ip + 1 end
        if name == "eth" then eth = eth + 1 end
    end
    if ip > 1 or eth > 1 then layers[#layers + 1] = pinfo.number end
end

local taps = {}
for i, filter in ipairs(filters) do
    local ok, tap = pcall(Listener.new, "frame", filter)
    if ok then
        local mine = {}
        function tap.packet(pinfo) mine[#mine + 1] = pinfo.number end
        hits[i], taps[i] = mine, tap
    else
        print("refused " .. i .. " " .. tostring(tap):gsub("\n", " "))
    end
end

function frames.draw()
    print("layers " .. table.concat(layers, " "))
    for i = 1, #filters do
        if hits[i] then print("match " .. i .. " " .. table.concat(hits[i], " ")) end
    end
end
