//! What tshark says of a capture, field by field: its PDML, cut into the outermost packet and the
//! one in the first tunnel. Reassembly is off, as a mirror decides packet by packet. Which
//! differences are meant is the caller's to say. (Rejected: `-T fields`, which mixes the layers.)

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

/// A field of one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// As tshark prints it.
    pub show: String,
    /// Its bytes, in hexadecimal.
    pub value: String,
    /// Where it is in the frame.
    pub at: usize,
}

/// One packet in a frame: its protocols' and fields' names, each with its values in order.
#[derive(Debug, Clone, Default)]
pub struct Layer {
    /// Protocols, with their position and length.
    pub protocols: Vec<(String, usize, usize)>,
    /// Fields.
    pub fields: BTreeMap<String, Vec<Shown>>,
    /// tshark came to the end of the packet, or of what was captured, before the end of a header.
    pub broken: bool,
}

impl Layer {
    /// Whether it has this protocol.
    pub fn has(&self, protocol: &str) -> bool {
        self.protocols.iter().any(|p| p.0 == protocol)
    }
}

/// Whether there is a tshark to ask.
pub fn is_installed() -> bool {
    Command::new("tshark").arg("--version").output().is_ok_and(|o| o.status.success())
}

/// For each frame of a capture, the outermost packet and the one in its first tunnel.
pub fn dissect(capture: &Path) -> Vec<[Layer; 2]> {
    let output = Command::new("tshark")
        .args(["-n", "-o", "tcp.desegment_tcp_streams:FALSE", "-o", "ip.defragment:FALSE"])
        .args(["-o", "ipv6.defragment:FALSE", "-T", "pdml", "-r"])
        .arg(capture)
        .output()
        .expect("tshark");
    let text = String::from_utf8_lossy(&output.stdout);
    text.split("<packet>").skip(1).map(frame).collect()
}

/// Protocols that hold another packet.
const TUNNELS: &[&str] = &["gre", "vxlan", "geneve"];

fn frame(pdml: &str) -> [Layer; 2] {
    let mut layers = <[Layer; 2]>::default();
    let mut depth = 0;
    // The protocols that are open. One in another is a packet that an ICMP error quotes, or IPv6's
    // extension header.
    let mut nested: Vec<(String, bool)> = Vec::new();
    for line in pdml.lines().map(str::trim_start) {
        if let Some(tag) = line.strip_prefix("<proto ") {
            let name = attribute(tag, "name");
            let quoted = nested.last().is_some_and(|(parent, quoted)| *quoted || parent != "ipv6");
            if !line.ends_with("/>") {
                nested.push((name.clone(), quoted));
            }
            if matches!(name.as_str(), "_ws.malformed" | "_ws.short") {
                layers.iter_mut().for_each(|layer| layer.broken = true);
            }
            if quoted || name.starts_with("_ws.") {
                continue;
            }
            let number = |key| attribute(tag, key).parse().unwrap_or(0);
            let at = number("pos");
            if layers.get(depth).is_some_and(|layer| is_inside(layer, &name, at)) {
                depth += 1;
            }
            if let Some(layer) = layers.get_mut(depth) {
                layer.protocols.push((name, at, number("size")));
            }
        } else if line.starts_with("</proto>") {
            nested.pop();
        } else if let Some(tag) = line.strip_prefix("<field ") {
            let layer = layers.get_mut(depth).filter(|_| nested.last().is_some_and(|n| !n.1));
            if let Some(layer) = layer {
                let at = attribute(tag, "pos").parse().unwrap_or(0);
                let shown = Shown { show: attribute(tag, "show"), value: attribute(tag, "value"), at };
                layer.fields.entry(attribute(tag, "name")).or_default().push(shown);
            }
        }
    }
    layers
}

/// Whether the next protocol is no longer of this packet but of the one inside it. (IPv6 by the
/// type of IPv4 is shown as both, at one place.)
fn is_inside(layer: &Layer, protocol: &str, at: usize) -> bool {
    let is_ip = |name: &str| matches!(name, "ip" | "ipv6");
    let tunnel = layer.protocols.last().is_some_and(|last| TUNNELS.contains(&last.0.as_str()));
    tunnel || is_ip(protocol) && layer.protocols.iter().any(|p| is_ip(&p.0) && p.1 != at)
}

fn attribute(tag: &str, key: &str) -> String {
    let start = format!("{key}=\"");
    let is_start = |&at: &usize| at == 0 || tag.as_bytes()[at - 1] == b' ';
    tag.match_indices(&start)
        .map(|(at, _)| at)
        .find(is_start)
        .and_then(|at| tag[at + start.len()..].split('"').next())
        .unwrap_or("")
        .to_owned()
}
