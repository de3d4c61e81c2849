//! Loads a program into a running mirrorc over its control socket:
//! `cargo run --example load_policy -- /run/mirrorc/control customer customer.mrule`. The
//! invariant: a program that is refused changes nothing, and the reason is printed. (Rejected: a
//! library for HTTP; one request needs none.)

use std::error::Error;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// Puts a program under a name; the answer is JSON that says the version, or what is wrong.
///
/// # Errors
/// The socket cannot be reached, or the program is refused: the answer.
pub fn load(socket: &Path, name: &str, program: &str) -> Result<String, Box<dyn Error>> {
    let mut stream = UnixStream::connect(socket)?;
    let length = program.len();
    write!(
        stream,
        "PUT /v1/policies/{name} HTTP/1.1\r\nHost: mirrorc\r\nConnection: close\r\n\
         Content-Type: text/plain\r\nContent-Length: {length}\r\n\r\n{program}"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no answer")?;
    match head.split(' ').nth(1) {
        Some("200" | "201") => Ok(body.to_owned()),
        _ => Err(body.into()),
    }
}

#[allow(dead_code, reason = "a test calls `load`")]
fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, socket, name, file] = arguments.as_slice() else {
        return Err("usage: load_policy SOCKET NAME FILE".into());
    };
    println!("{}", load(socket.as_ref(), name, &std::fs::read_to_string(file)?)?);
    Ok(())
}
