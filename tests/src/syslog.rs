//! The grammar of RFC 5424, section 6, read strictly: what a receiver that is not ours makes of a
//! message, or why it is none. (Rejected: comparing messages with what is expected of the sender's
//! own code; it would make the same mistakes.)

use std::collections::BTreeMap;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Facility and severity.
    pub priority: (u8, u8),
    /// The time, as it stands there.
    pub time: String,
    /// The host.
    pub host: String,
    /// The program.
    pub app: String,
    /// Its process.
    pub process: String,
    /// The kind of message.
    pub id: String,
    /// Structured data: names of elements, each with its params.
    pub data: BTreeMap<String, BTreeMap<String, String>>,
    /// The text.
    pub text: String,
}

/// What is yet to be read.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    fn take(&mut self, expected: u8) -> Result<(), String> {
        match self.0.split_first() {
            Some((byte, rest)) if *byte == expected => {
                self.0 = rest;
                Ok(())
            }
            found => Err(format!(
                "{:?} where {:?} should be",
                found.map(|(b, _)| char::from(*b)),
                char::from(expected)
            )),
        }
    }

    /// Up to so many bytes that are like this, at least one.
    fn some(&mut self, most: usize, like: impl Fn(u8) -> bool) -> Result<String, String> {
        let length = self.0.iter().take_while(|byte| like(**byte)).count();
        if length == 0 || length > most {
            return Err(format!(
                "{length} characters, where 1 to {most} should be, before {:?}",
                self.text()
            ));
        }
        let (some, rest) = self.0.split_at(length);
        self.0 = rest;
        String::from_utf8(some.to_vec()).map_err(|error| error.to_string())
    }

    fn field(&mut self, most: usize) -> Result<String, String> {
        let field = self.some(most, |byte| (33..=126).contains(&byte))?;
        self.take(b' ')?;
        Ok(field)
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(self.0).into_owned()
    }
}

/// SD-NAME: printable ASCII without `=`, blank, `]` and `"`; at most 32.
fn name(byte: u8) -> bool {
    (33..=126).contains(&byte) && !matches!(byte, b'=' | b']' | b'"')
}

/// TIMESTAMP: RFC 3339 with capital T and Z, at most six digits of a second, no leap seconds.
fn time(text: &str) -> Result<(), String> {
    let bad = || format!("`{text}` is no time");
    let (date, clock) = text.split_once('T').ok_or_else(bad)?;
    let clock = clock.strip_suffix('Z').ok_or_else(bad)?;
    let (clock, part) = clock.split_once('.').map_or((clock, None), |(clock, part)| (clock, Some(part)));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if part.is_some_and(|part| !digits(part) || part.len() > 6) {
        return Err(bad());
    }
    let numbers = |text: &str, by: char, lengths: [usize; 3]| {
        let parts: Vec<&str> = text.split(by).collect();
        let fit =
            parts.len() == 3 && parts.iter().zip(lengths).all(|(p, length)| digits(p) && p.len() == length);
        fit.then(|| parts.iter().map(|p| p.parse::<u32>().expect("digits")).collect::<Vec<_>>())
    };
    let date = numbers(date, '-', [4, 2, 2]).ok_or_else(bad)?;
    let clock = numbers(clock, ':', [2, 2, 2]).ok_or_else(bad)?;
    let fits = (1..=12).contains(&date[1]) && (1..=31).contains(&date[2]);
    if fits && clock[0] < 24 && clock[1] < 60 && clock[2] < 60 { Ok(()) } else { Err(bad()) }
}

/// Reads a message.
///
/// # Errors
/// Why it is none.
pub fn parse(bytes: &[u8]) -> Result<Message, String> {
    let mut rest = Rest(bytes);
    rest.take(b'<')?;
    let priority = rest.some(3, |byte| byte.is_ascii_digit())?;
    rest.take(b'>')?;
    let number: u8 = priority.parse().ok().filter(|n| *n <= 191).ok_or("the priority is too large")?;
    if priority != number.to_string() {
        return Err(format!("the priority {priority} begins with 0"));
    }
    rest.take(b'1')?;
    rest.take(b' ')?;
    let when = rest.field(32)?;
    time(&when)?;
    let (host, app, process, id) = (rest.field(255)?, rest.field(48)?, rest.field(128)?, rest.field(32)?);
    let mut data = BTreeMap::new();
    if rest.0.first() == Some(&b'-') {
        rest.take(b'-')?;
    } else {
        while rest.0.first() == Some(&b'[') {
            let (id, params) = element(&mut rest)?;
            if data.insert(id.clone(), params).is_some() {
                return Err(format!("{id} is there twice"));
            }
        }
        if data.is_empty() {
            return Err("there is neither structured data nor `-`".to_owned());
        }
    }
    let mut text = String::new();
    if !rest.0.is_empty() {
        rest.take(b' ')?;
        let marked = rest.0.strip_prefix(b"\xef\xbb\xbf");
        let said = marked.unwrap_or(rest.0);
        text = String::from_utf8(said.to_vec()).map_err(|error| error.to_string())?;
        if marked.is_none() && !text.is_ascii() {
            return Err("the text is not ASCII and has no byte order mark".to_owned());
        }
        if text.chars().any(char::is_control) {
            return Err(format!("the text has control characters: {text:?}"));
        }
    }
    Ok(Message { priority: (number / 8, number % 8), time: when, host, app, process, id, data, text })
}

/// SD-ELEMENT: `[ID NAME="VALUE" ...]`.
fn element(rest: &mut Rest<'_>) -> Result<(String, BTreeMap<String, String>), String> {
    rest.take(b'[')?;
    let id = rest.some(32, name)?;
    match id.split_once('@') {
        Some((_, number)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {}
        Some(_) => return Err(format!("`{id}`: behind the @ stands a number")),
        None if ["timeQuality", "origin", "meta"].contains(&id.as_str()) => {}
        None => return Err(format!("`{id}` is not registered")),
    }
    let mut params = BTreeMap::new();
    while rest.0.first() == Some(&b' ') {
        rest.take(b' ')?;
        let name = rest.some(32, name)?;
        rest.take(b'=')?;
        rest.take(b'"')?;
        let mut value = Vec::new();
        loop {
            match rest.0 {
                [b'\\', escaped @ (b'"' | b'\\' | b']'), ..] => {
                    value.push(*escaped);
                    rest.0 = &rest.0[2..];
                }
                [b'"', ..] => break,
                [b']', ..] => return Err("a `]` is not escaped".to_owned()),
                [byte, ..] => {
                    value.push(*byte);
                    rest.0 = &rest.0[1..];
                }
                [] => return Err("a value does not end".to_owned()),
            }
        }
        rest.take(b'"')?;
        let value = String::from_utf8(value).map_err(|error| error.to_string())?;
        if value.chars().any(char::is_control) {
            return Err(format!("a value has control characters: {value:?}"));
        }
        params.insert(name, value);
    }
    rest.take(b']')?;
    Ok((id, params))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn examples_of_the_standard_are_messages_and_others_are_not() {
        // RFC 5424, 6.5, examples 1, 3 and 4.
        let one = "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed for lonvick on /dev/pts/8";
        let parsed = parse(one.as_bytes()).unwrap();
        assert_eq!((parsed.priority, parsed.app.as_str()), ((4, 2), "su"));
        let three = "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 \
                     [exampleSDID@32473 iut=\"3\" eventSource=\"Application\" eventID=\"1011\"] \u{feff}An application event log entry...";
        assert_eq!(parse(three.as_bytes()).unwrap().data["exampleSDID@32473"]["eventID"], "1011");
        let four = "<165>1 2003-10-11T22:14:15.003Z mymachine.example.com evntslog - ID47 \
                    [exampleSDID@32473 iut=\"3\"][examplePriority@32473 class=\"high\"]";
        assert_eq!(parse(four.as_bytes()).unwrap().data.len(), 2);
        for wrong in [
            "<34>1 2003-10-11T22:14:15.003Z h su - ID47",
            "<192>1 2003-10-11T22:14:15.003Z h su - ID47 -",
            "<034>1 2003-10-11T22:14:15.003Z h su - ID47 -",
            "<34>1 2003-10-11T22:14:15.0030000Z h su - ID47 -",
            "<34>1 2003-10-11 22:14:15Z h su - ID47 -",
            "<34>1 2003-10-11T22:14:15Z h su - ID47 [a@1 b=\"]\"]",
            "<34>1 2003-10-11T22:14:15Z h su - ID47 [a b=\"\"]",
            "<34>1 2003-10-11T22:14:15Z h su - ID47 - \u{e9}",
            "<34>1 2003-10-11T22:14:15Z h su - ID47 - a\nb",
        ] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
