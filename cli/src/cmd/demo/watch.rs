//! Watches an interface: how many frames the kernel counted as received, and a description of the
//! first few, read by a plain AF_PACKET socket. The invariant: it observes the demonstration from
//! outside and shares no code path with it. (Rejected: mirrorc's own counts only, which would prove
//! nothing; counting in the socket, which loses frames when the machine is busy.)

use crate::exit::Failure;
use afpacket::sync::RawPacketStream;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

/// How many frames are described.
const FEW: usize = 9;

/// The observation of one interface.
#[derive(Debug)]
pub struct Watch {
    interface: String,
    /// /proc/net/dev of the interface's namespace, whoever reads it.
    counts: File,
    few: Arc<Mutex<Vec<String>>>,
}

impl Watch {
    /// How many frames have been received so far.
    pub fn received(&self) -> io::Result<u64> {
        let mut text = String::new();
        (&self.counts).seek(SeekFrom::Start(0))?;
        (&self.counts).read_to_string(&mut text)?;
        let numbers = text.lines().filter_map(|line| line.split_once(':'));
        let numbers = numbers.filter(|(name, _)| name.trim() == self.interface).map(|(_, numbers)| numbers);
        // The columns are bytes, then packets.
        let packets = numbers.filter_map(|numbers| numbers.split_whitespace().nth(1)?.parse().ok()).next();
        packets.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The first TCP packets. A socket that is not read in time loses some.
    pub fn few(&self) -> Vec<String> {
        self.few.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Watches an interface of the calling thread's namespace until the first few have been seen; it
/// counts on.
pub fn watch(interface: &str) -> Result<Watch, Failure> {
    let failed = |error| Failure::file("read from", interface, &error);
    let mut socket = RawPacketStream::new().map_err(failed)?;
    socket.bind(interface).map_err(failed)?;
    let counts = File::open("/proc/thread-self/net/dev").map_err(failed)?;
    let few = Arc::new(Mutex::new(Vec::new()));
    let fills = few.clone();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 17];
        while let Ok(len) = socket.read(&mut buffer) {
            let mut few = fills.lock().unwrap_or_else(PoisonError::into_inner);
            few.extend(describe(buffer.get(..len).unwrap_or_default()));
            if few.len() >= FEW {
                return;
            }
        }
    });
    Ok(Watch { interface: interface.to_owned(), counts, few })
}

/// A short description of a TCP packet over IPv4; none for any other packet.
fn describe(frame: &[u8]) -> Option<String> {
    let number = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    let address = |at: usize| Some(Ipv4Addr::from(<[u8; 4]>::try_from(frame.get(at..at + 4)?).ok()?));
    if number(12)? != 0x0800 || *frame.get(23)? != 6 {
        return None;
    }
    let tcp = 14 + usize::from(frame.get(14)? & 15) * 4;
    let bits = *frame.get(tcp + 13)?;
    let names = ["FIN", "SYN", "RST", "PSH", "ACK"].into_iter().enumerate();
    let flags: Vec<&str> = names.filter(|(bit, _)| bits >> bit & 1 == 1).map(|(_, name)| name).collect();
    let whole = 14 + usize::from(number(16)?);
    let len =
        if frame.len() < whole { format!("{} of {whole}", frame.len()) } else { frame.len().to_string() };
    let ends = format!("{}:{} > {}:{}", address(26)?, number(tcp)?, address(30)?, number(tcp + 2)?);
    Some(format!("{ends:<37} {:<11} {len} bytes", flags.join(" ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]
    use super::*;

    #[test]
    fn a_cut_packet_says_how_long_it_was() {
        let mut frame = [0_u8; 54];
        frame[12] = 8;
        (frame[14], frame[16], frame[17], frame[23]) = (0x45, 1, 0, 6);
        frame[26..34].copy_from_slice(&[10, 77, 0, 1, 10, 77, 0, 2]);
        (frame[35], frame[47]) = (80, 0x12);
        let words = describe(&frame).unwrap();
        let words: Vec<&str> = words.split_whitespace().collect();
        assert_eq!(words.join(" "), "10.77.0.1:80 > 10.77.0.2:0 SYN ACK 54 of 270 bytes");
        assert!((0..=47).all(|len| describe(&frame[..len]).is_none()));
    }
}
