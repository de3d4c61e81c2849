//! The conditions of the corpus against tshark: where it knows all their words, it selects the
//! packets for which a case says that the condition holds, or the case says why not
//! (`tshark = '...'`), and then it does select others. So what was worked out by hand has a second
//! judge. (Rejected: a list of exceptions here, away from the cases.)

use mrule_compiler::abi::Link;
use mrule_compiler::fields::FIELDS;
use mrule_tests::case::{ExprCase, File};
use mrule_tests::packet_text::{BuiltPacket, build};
use mrule_tests::tshark;
use std::path::Path;
use std::process::Command;

/// Whether tshark knows every word of a condition.
fn is_askable(case: &ExprCase) -> bool {
    let ours =
        |name: &str| FIELDS.iter().any(|f| f.name == name && !f.wireshark) || name.starts_with("inner.");
    let words = case.expr.split(|c: char| !(c.is_ascii_alphanumeric() || "._".contains(c)));
    case.given.is_empty() && case.set.is_empty() && case.expr != "any" && !words.into_iter().any(ours)
}

/// A pcapng file: an interface for each packet, since each may have a link type and a name of its
/// own.
fn pcapng(packets: &[BuiltPacket]) -> Vec<u8> {
    let block = |kind: u32, body: &[u8]| {
        let padded = body.len().next_multiple_of(4);
        let total = (padded as u32 + 12).to_le_bytes();
        let mut block = [&kind.to_le_bytes(), &total, body].concat();
        block.resize(8 + padded, 0);
        [block, total.to_vec()].concat()
    };
    let mut file =
        block(0x0a0d_0d0a, &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255]);
    for packet in packets {
        let linktype: u16 = match packet.link {
            Link::Ethernet => 1,
            Link::RawIp => 101,
            Link::LinuxSll => 113,
            Link::LinuxSll2 => 276,
            Link::Null => 0,
        };
        let mut body = [&linktype.to_le_bytes()[..], &[0, 0, 0, 0, 0, 0]].concat();
        if !packet.interface.is_empty() {
            body.extend([2, 0]);
            body.extend((packet.interface.len() as u16).to_le_bytes());
            body.extend(packet.interface.as_bytes());
            body.resize(body.len().next_multiple_of(4), 0);
            body.extend([0; 4]);
        }
        file.extend(block(1, &body));
    }
    for (i, packet) in packets.iter().enumerate() {
        let mut body = (i as u32).to_le_bytes().to_vec();
        body.extend([0; 8]);
        body.extend((packet.bytes.len() as u32).to_le_bytes());
        body.extend(packet.len.to_le_bytes());
        body.extend(&packet.bytes);
        file.extend(block(6, &body));
    }
    file
}

/// Which packets of each case tshark selects, or why it refuses the condition. All are asked at
/// once, each of its own packets, by listeners of a Lua script.
fn ask(cases: &[ExprCase], folder: &Path) -> Vec<Result<Vec<bool>, String>> {
    let (mut packets, mut script, mut told, mut firsts) = (Vec::new(), String::new(), Vec::new(), Vec::new());
    for (i, case) in cases.iter().enumerate() {
        let first = packets.len() + 1;
        firsts.push(first);
        packets.extend(case.holds.iter().chain(&case.fails).map(|text| build(text).unwrap()));
        told.push(Ok(vec![false; packets.len() + 1 - first]));
        script += &format!(
            "do local ok, said = pcall(function()\n\
               local l = Listener.new(nil, [==[frame.number >= {first} && frame.number <= {} && ({})]==])\n\
               function l.packet(pinfo) print('HIT {i} ' .. pinfo.number) end\n\
             end)\n\
             if not ok then print('BAD {i} ' .. string.gsub(said, '\\n', ' ')) end end\n",
            packets.len(),
            case.expr
        );
    }
    let (capture, lua) = (folder.join("packets.pcapng"), folder.join("ask.lua"));
    std::fs::write(&capture, pcapng(&packets)).unwrap();
    std::fs::write(&lua, script).unwrap();
    let output = Command::new("tshark")
        .args(["-n", "-q", "-o", "tcp.desegment_tcp_streams:FALSE", "-o", "ip.defragment:FALSE"])
        .args(["-o", "ipv6.defragment:FALSE", "-X", &format!("lua_script:{}", lua.display()), "-r"])
        .arg(&capture)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let mut words = line.splitn(3, ' ');
        let kind = words.next();
        let Some(i) = words.next().and_then(|word| word.parse::<usize>().ok()) else { continue };
        let rest = words.next().unwrap_or("");
        match (kind, &mut told[i]) {
            (Some("HIT"), Ok(selected)) => selected[rest.parse::<usize>().unwrap() - firsts[i]] = true,
            (Some("BAD"), told) => *told = Err(rest.to_owned()),
            _ => {}
        }
    }
    told
}

/// What is wrong with what tshark says of a case.
fn judge(case: &ExprCase, told: &Result<Vec<bool>, String>) -> Option<String> {
    let expected: Vec<bool> =
        (0..case.holds.len() + case.fails.len()).map(|i| i < case.holds.len()).collect();
    match (told, &case.tshark) {
        (Ok(told), None) if *told == expected => None,
        (Ok(told), Some(_)) if *told == expected => Some("tshark agrees after all".into()),
        (_, Some(_)) => None,
        (Err(why), None) => Some(why.clone()),
        (Ok(told), None) => {
            let texts = case.holds.iter().chain(&case.fails);
            let others =
                texts.zip(told.iter().zip(&expected)).filter(|(_, (told, expected))| told != expected);
            Some(others.map(|(text, (told, _))| format!("\n    {text}: tshark {told}")).collect())
        }
    }
}

#[test]
fn tshark_selects_the_same_packets() {
    if !tshark::is_installed() {
        eprintln!("SKIPPED: no tshark to ask");
        return;
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|e| e == "toml"));
    let texts = files.map(|path| std::fs::read_to_string(path).unwrap());
    let cases = texts.flat_map(|text| toml::from_str::<File>(&text).unwrap().expr);
    let cases: Vec<ExprCase> = cases.filter(is_askable).collect();
    assert!(cases.len() > 150, "only {} conditions", cases.len());
    let folder = tempfile::tempdir().unwrap();
    let told = ask(&cases, folder.path());
    let wrong = cases.iter().zip(&told).filter_map(|(case, told)| {
        let wrong = judge(case, told)?;
        Some(format!("`{}`: {wrong}\n", case.expr))
    });
    let wrong: String = wrong.collect();
    assert!(wrong.is_empty(), "{wrong}");
}
