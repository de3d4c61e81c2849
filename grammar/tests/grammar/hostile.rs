//! Any text: no panic, no overflow, no unbounded work, and spans inside the text and on character
//! boundaries.

use crate::common::{TOUR, dump, read};
use mrule_grammar::span::Span;
use mrule_grammar::{MAX_ERRORS, parse};
use proptest::prelude::*;

/// Reads a text on a small stack and checks the properties that hold for every text.
fn survives(text: &str) {
    let parsed = read(text);
    assert!(parsed.diagnostics.len() <= MAX_ERRORS);
    let inside = |span: Span| {
        let range = span.range();
        assert!(range.start <= range.end && range.end <= text.len(), "{range:?} of {} bytes", text.len());
        assert!(text.is_char_boundary(range.start) && text.is_char_boundary(range.end), "{range:?}");
    };
    for diagnostic in &parsed.diagnostics {
        assert!(!diagnostic.labels.is_empty());
        diagnostic.labels.iter().for_each(|l| inside(l.span));
        diagnostic.fix.iter().for_each(|f| inside(f.span));
        assert!(diagnostic.message.len() < 2000);
    }
    parsed.file.items.iter().for_each(|i| inside(i.span()));
    parsed.file.comments.iter().for_each(|c| inside(*c));
    // Walks the whole tree, recursively.
    let tree = dump(&parsed.file);
    if parsed.diagnostics.is_empty() {
        assert!(!tree.contains("broken"), "something is broken and nothing is said: {text}");
    }
}

/// Reads each text on a thread with the stack of a small worker.
fn survive_on_small_stacks(texts: Vec<String>) {
    for text in texts {
        let shown: String = text.chars().take(30).collect();
        let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(move || survives(&text)).unwrap();
        assert!(thread.join().is_ok(), "{shown}");
    }
}

#[test]
fn a_megabyte_of_one_thing() {
    let things = ["(", "#", "\"", "}", "{,", "a ", "let ", "rule r { ", "\0", "a#1 "];
    let texts = things.iter().map(|thing| thing.repeat((1 << 20) / thing.len()));
    survive_on_small_stacks(texts.collect());
}

#[test]
fn much_of_one_thing_anywhere() {
    let things = [
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "#",
        "\"",
        "'",
        "\\",
        "\0",
        "\u{a0}",
        "\u{e9}",
        "\u{201c}",
        ".",
        ",",
        ";",
        ":",
        "-",
        "=",
        "!",
        "&",
        "a",
        "0",
        "a ",
        "a.",
        "0.",
        "0:",
        "not ",
        "and ",
        "a or ",
        "let ",
        "rule ",
        "rule r { ",
        "match ",
        "\"a\" ",
        "r\"a\" ",
        "a#1 ",
        "a#[ ",
        "{[(",
        "())",
        "f(",
        "a[",
        "a[0]",
        "t[a]",
        "set<",
        "snapln ",
        "\nmach ",
        "\nrul a {}",
        "1 + ",
        "1 - ",
        "{1 ",
        "{1,",
        "let a = b\n",
        "a == ",
        "a < ",
        "any ",
        "when ",
        "x y\n",
        "aa-",
        "\u{feff}",
    ];
    let repeat = |start: &str, thing: &str| format!("{start}{}", thing.repeat((1 << 13) / thing.len()));
    let starts =
        ["", "let a = ", "rule r { match ", "rule r { ", "trigger t { ", "station s { ", "table t : "];
    let texts = things.iter().flat_map(|t| starts.iter().map(|s| repeat(s, t)));
    survive_on_small_stacks(texts.collect());
}

#[test]
fn deep_things_that_end() {
    let pairs = [
        ("(", ")"),
        ("[", "]"),
        ("{", "}"),
        ("f(", ")"),
        ("a[", "]"),
        ("not (", ")"),
        ("{(", ")}"),
        ("((a, ", "))"),
    ];
    let wrap = |depth: usize| {
        pairs.map(|(open, close)| {
            format!("rule r {{ match {}a{} to s }}", open.repeat(depth), close.repeat(depth))
        })
    };
    survive_on_small_stacks([60, 63, 64, 65, 66, 10_000].into_iter().flat_map(wrap).collect());
}

#[test]
fn the_tour_cut_anywhere() {
    for end in (0..TOUR.len()).filter(|n| TOUR.is_char_boundary(*n)) {
        survives(&TOUR[..end]);
        survives(&TOUR[end..]);
    }
}

#[test]
fn the_tour_without_any_one_character() {
    for (at, c) in TOUR.char_indices() {
        survives(&format!("{}{}", &TOUR[..at], &TOUR[at + c.len_utf8()..]));
    }
}

/// Text that is likely to pass many rules of the grammar.
fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop::sample::select(vec![
        "let",
        "param",
        "table",
        "station",
        "rule",
        "limit",
        "trigger",
        "include",
        "match",
        "snaplen",
        "to",
        "when",
        "unless",
        "hold",
        "external",
        "keys",
        "by",
        "from",
        "in",
        "and",
        "or",
        "not",
        "any",
        "all",
        "==",
        "=",
        "!=",
        "===",
        "!==",
        "<",
        "<=",
        ">",
        ">=",
        "&&",
        "||",
        "!",
        "&",
        "|",
        "+",
        "-",
        "*",
        "/",
        "%",
        "^^",
        "xor",
        "contains",
        "matches",
        "per",
        "else",
        "within",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        ",",
        ";",
        ":",
        "..",
        "->",
        ".",
        "#",
        "\n",
        " ",
        "a",
        "tcp.port",
        "A-b",
        "80",
        "0x1f",
        "8KiB",
        "010",
        "1.2.3.4",
        "1.2.3",
        "10.0.0.0/8",
        "::1",
        "47:45",
        "\"x\"",
        "\"",
        "r\"\\d\"",
        "'c'",
        "\u{e9}",
        "\0",
        "\u{1}",
        "none",
        "full",
        "headers",
        "payload",
        "bytes",
        "stream",
        "50%",
        "[0:4]",
        "[a]",
        "set<ip>",
        "map<ip, uint>",
        "#1",
        "rule r {",
        "let x = ",
        "TRUE",
        "AND",
        "snapln",
        "\r\n",
    ]);
    prop::collection::vec((fragment, prop::sample::select(vec!["", " ", " ", "\n"])), 0..60)
        .prop_map(|parts| parts.into_iter().flat_map(|(word, blank)| [word, blank]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text(text in any::<String>()) {
        survives(&text);
    }

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        survives(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn any_fragments(text in fragments()) {
        survives(&text);
    }

    #[test]
    fn any_change_of_the_tour(at in 0..TOUR.len(), with in fragments(), cut in 0usize..20) {
        let end = (at + cut).min(TOUR.len());
        survives(&format!("{}{with}{}", &TOUR[..at], &TOUR[end..]));
    }

    /// A broken item changes nothing but itself, unless it leaves a bracket or a string open.
    #[test]
    fn items_before_and_after_are_untouched(text in fragments()) {
        let mut text: String = text.chars().filter(|c| !"([{}])\"'#\u{1}".contains(*c)).collect();
        for word in ["let", "param", "table", "station", "rule", "limit", "trigger", "include"] {
            text = text.replace(word, "word");
        }
        let parsed = read(&format!("let before = 1\nrule bad {{ {text} }}\nlet after = 2\n"));
        let tree = dump(&parsed.file);
        prop_assert!(tree.starts_with("let before 1\n"), "{}", tree);
        prop_assert!(tree.ends_with("\nlet after 2"), "{}", tree);
    }
}

#[test]
fn the_file_is_in_every_span() {
    let file = mrule_grammar::span::FileId(7);
    let parsed = parse(file, "let a = 010 # c");
    assert_eq!(parsed.diagnostics[0].labels[0].span.file, file);
    assert_eq!(parsed.file.items[0].span().file, file);
    assert_eq!(parsed.file.comments[0].file, file);
}
