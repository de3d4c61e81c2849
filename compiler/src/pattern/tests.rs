//! What patterns find, and what is refused at which place.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test"
)]

use super::*;

fn finds(pattern: &str, text: &[u8]) -> bool {
    compile(&[&translate(pattern).unwrap()]).unwrap().is_match(text)
}

#[test]
fn bytes_without_case_as_in_pcre() {
    assert!(finds("^get ", b"GET /"));
    assert!(!finds("(?-i)^get ", b"GET /"));
    assert!(finds("(?-i:GET) x", b"GET X"));
    assert!(finds(r"\xff.\x00", b"\xff\x80\x00"));
    assert!(finds(r"\x{fF}", b"\xff"));
    assert!(!finds("a.b", b"a\nb"));
    assert!(finds("(?s)a.b", b"a\nb"));
    assert!(finds("", b"x"));
    assert!(finds("é", "é".as_bytes()));
    assert!(!finds("É", "é".as_bytes()));
    assert!(finds("[é]$", b"\xc3"));
    assert!(finds("^é+$", b"\xc3\xa9\xa9"));
    assert!(finds(r"^\x16\x03[\x00-\x03]", b"\x16\x03\x01"));
    assert!(finds(r"^SSH-[12]", b"ssh-2.0"));
    assert!(finds(r"(a|b)+?c{2,3}[x-z-]", b"abcc-"));
    assert!(finds(r"\d{1,3}\.\w\s\h\e\a", b"12.x\t\t\x1b\x07"));
    assert!(finds("(?P<name>a)(?<other>b)(?'third'c)", b"abc"));
}

#[test]
fn ends_and_starts_are_those_of_pcre() {
    assert!(finds("a$", b"a"));
    assert!(finds("a$", b"a\n"));
    assert!(!finds("a$", b"a\n\n"));
    assert!(!finds("a$", b"ab"));
    assert!(finds(r"a\Z", b"a\n"));
    assert!(!finds(r"a\z", b"a\n"));
    assert!(finds(r"a\z", b"a"));
    assert!(finds("(a|b$)", b"b\n"));
    assert!(finds("(?:(a$)|b)|c", b"b"));
    assert!(!finds("^a", b"\na"));
    assert!(finds("(?m)^a$", b"\na\nb"));
    assert!(finds("(?m:^b$)|c", b"a\nb\nc"));
    assert!(!finds("(?m:^x$)|^b$", b"a\nb\nc"));
    assert!(finds(r"\bget\b", b"x get y"));
}

#[test]
fn what_the_library_reads_otherwise_is_written_out() {
    assert!(finds(r"^[a[b]$", b"["));
    assert!(!finds(r"^[a[b]$", b"c"));
    assert!(finds(r"^[a&&b]$", b"&"));
    assert!(finds(r"^[a~~b]$", b"a"));
    assert!(finds(r"^[+--]$", b","));
    assert!(finds(r"^[]a]$", b"]"));
    assert!(!finds(r"^[^]a]$", b"]"));
    assert!(finds(r"^[[:digit:]-]$", b"-"));
    assert!(finds(r"^[[:^digit:]]$", b"x"));
    assert!(finds(r"^[\d-]$", b"-"));
    assert!(finds(r"^[\b]$", b"\x08"));
    assert!(finds(r"x\<y\>", b"x<y>"));
    assert!(finds(r"^\v$", b"\r"));
    assert!(finds(r"^\v+\H\N$", b"\x0b\x85xy"));
    assert!(finds("a{x}", b"a{x}"));
    assert!(finds("a{,3}", b"a{,3}"));
    assert!(finds(r"\bx{start}", b"x{start}"));
    assert!(finds("a b#c", b"a b#c"));
    assert!(finds(r#"\/\-\"\ \_"#.trim_end_matches(r"\_"), b"/-\" "));
}

#[test]
fn what_has_no_translation_is_refused_where_it_stands() {
    for (pattern, at) in [
        ("x(", 1..2),
        ("x)", 1..2),
        ("x(?=a)", 1..4),
        ("x(?!a)", 1..4),
        ("x(?<=a)", 1..5),
        ("x(?<!a)", 1..5),
        ("x(?>a)", 1..4),
        ("x(?|a)", 1..4),
        ("x(?#a)", 1..4),
        ("x(?R)", 1..4),
        ("x(?1)", 1..4),
        ("x(?&a)", 1..4),
        ("x(?P>a)", 1..5),
        ("x(?P=a)", 1..5),
        ("x(?(1)a)", 1..4),
        ("x(*FAIL)", 1..3),
        ("x(?x)a b", 1..4),
        ("x(?u)a", 1..4),
        ("x(?i-)a", 1..6),
        (r"x(a)\1", 4..6),
        (r"x\k<a>", 1..3),
        (r"x\Kb", 1..3),
        (r"x\Gb", 1..3),
        (r"x\Qa\E", 1..3),
        (r"x\p{L}", 1..3),
        (r"x\X", 1..3),
        (r"x\R", 1..3),
        (r"x\012", 1..3),
        (r"x\cA", 1..3),
        (r"x\y", 1..3),
        (r"x\xg", 1..3),
        (r"x\x{123}", 1..8),
        (r"x\", 1..2),
        ("xa*+b", 2..4),
        ("xa++b", 2..4),
        ("xa{2}+b", 2..6),
        ("xa**b", 3..4),
        ("*a", 0..1),
        ("a|+b", 2..3),
        ("^*a", 1..2),
        ("x[a", 1..2),
        ("x[b-a]", 2..5),
        (r"x[a-\d]", 2..6),
        (r"x[\R]", 2..4),
        ("x[[:foo:]]", 2..9),
        ("x[[.a.]]", 2..7),
        ("a$b", 1..2),
        ("(a$|b)c", 2..3),
        ("((a$)|b)c", 3..4),
        ("a$$", 1..2),
        ("(?m)^", 4..5),
        ("(?m)^a*", 4..5),
        (r"\é", 0..3),
    ] {
        let error = translate(pattern).expect_err(pattern);
        assert_eq!(error.at, at, "{pattern}: {error}");
        assert!(!error.help.is_empty());
    }
}

#[test]
fn translations_can_be_read() {
    let same = [r"^GET /[a-z0-9]+\.html\?id=\d{1,5}", "(?-i)^Host: .*evil", "one|two"];
    for pattern in same {
        assert_eq!(translate(pattern).unwrap(), pattern);
    }
    assert_eq!(translate("a$").unwrap(), r"a(?:\n?\z)");
}

#[test]
fn what_is_too_large_is_refused() {
    let error = translate("(?:x{1000}){1000}").expect_err("too large");
    assert!(error.too_large);
    assert!(error.message.contains("becomes larger than 10 MiB"), "{error}");
    assert!(translate(&format!("{}x{}", "(".repeat(65), ")".repeat(65))).is_err());
    assert!(translate(&format!("{}x{}", "(".repeat(64), ")".repeat(64))).is_ok());
    assert!(translate("a{5,3}").is_err());
    assert!(translate("a{99999999999}").is_err());
}

/// No text causes a panic, and every accepted text compiles.
#[test]
fn any_text_is_answered() {
    let alphabet: Vec<char> = "ab\\x0{}[]()^$|*+?.-:=!<>PimsQ1,é\n".chars().collect();
    let mut state = 1u64;
    for _ in 0..20_000 {
        let mut pattern = String::new();
        for _ in 0..(state >> 60) + 1 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            pattern.push(alphabet[(state >> 33) as usize % alphabet.len()]);
        }
        if let Err(error) = translate(&pattern) {
            assert!(pattern.get(error.at.clone()).is_some(), "{pattern:?} {error:?}");
        }
    }
}
