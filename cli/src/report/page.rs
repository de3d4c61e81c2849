//! The page of a diagnostic code on a terminal: renders the few Markdown constructs that the pages
//! use. The invariant: every word of the page is printed, and code keeps its line breaks.
//! (Rejected: printing raw Markdown with its fences; a Markdown crate for four constructs.)

use crate::screen::{BAD, BOLD, GOOD, HINT, Look, wrap};
use mrule_grammar::codes::Code;

/// The page as text.
pub fn render(code: Code, look: Look) -> String {
    let mut out = format!("{}\n\n", look.paint(BOLD, &format!("{}: {}", code.id(), code.0.title)));
    let blocks = blocks(code.0.explain.trim());
    for (i, block) in blocks.iter().enumerate() {
        if i > 0 {
            out.push('\n');
        }
        match block {
            Block::Words(words) => {
                for line in wrap(words, look.width.min(100)) {
                    out.push_str(&format!("{}\n", marked(&line, look)));
                }
            }
            Block::Item(words) => {
                for (i, line) in wrap(words, look.width.min(100).saturating_sub(2)).iter().enumerate() {
                    let head = if i == 0 { "-" } else { " " };
                    out.push_str(&format!("{head} {}\n", marked(line, look)));
                }
            }
            Block::Code(language, lines) => {
                // The pages show a mistake, then the correction.
                let after = |n: usize| blocks.get(n).is_some_and(|b| matches!(b, Block::Code("mrule", _)));
                let before = i.checked_sub(1).and_then(|n| blocks.get(n));
                if *language == "text" && after(i + 1) {
                    out.push_str(&format!("  {}\n", look.paint(BAD, "instead of")));
                } else if *language == "mrule" && matches!(before, Some(Block::Code("text", _))) {
                    out.push_str(&format!("  {}\n", look.paint(GOOD, "write")));
                }
                for line in lines {
                    out.push_str(format!("    {line}").trim_end());
                    out.push('\n');
                }
            }
        }
    }
    out
}

enum Block<'t> {
    /// A paragraph, its lines joined.
    Words(String),
    /// An item of a list.
    Item(String),
    /// The language of a fenced block, and its lines.
    Code(&'t str, Vec<&'t str>),
}

fn blocks(text: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut lines = text.lines();
    let mut fresh = true;
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let code = lines.by_ref().take_while(|l| !l.starts_with("```")).collect();
            blocks.push(Block::Code(language, code));
            fresh = true;
        } else if line.trim().is_empty() {
            fresh = true;
        } else if let Some(item) = line.strip_prefix("- ") {
            blocks.push(Block::Item(item.to_owned()));
            fresh = false;
        } else {
            match blocks.last_mut() {
                Some(Block::Words(words) | Block::Item(words)) if !fresh => {
                    words.push(' ');
                    words.push_str(line.trim());
                }
                _ => blocks.push(Block::Words(line.trim().to_owned())),
            }
            fresh = false;
        }
    }
    blocks
}

/// Words between back-ticks in colour; without colours the back-ticks stay.
fn marked(line: &str, look: Look) -> String {
    if !look.colour {
        return line.to_owned();
    }
    let parts = line.split('`').enumerate();
    parts.map(|(i, part)| if i % 2 == 1 { look.paint(HINT, part) } else { part.to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use mrule_grammar::codes::CodeInfo;

    #[test]
    fn a_page_without_marks() {
        const PAGE: Code = Code(&CodeInfo {
            id: "E9999",
            title: "a thing",
            explain: "One `word`\nand more.\n\n- an item\n  of two lines\n- another\n\n```text\nbad  x\n\n```\n\n```mrule\ngood\n```\n",
        });
        let expected = "E9999: a thing\n\nOne `word` and more.\n\n- an item of two lines\n\n- another\n\n  instead of\n    \
                        bad  x\n\n\n  write\n    good\n";
        assert_eq!(render(PAGE, Look::PLAIN), expected);
        let coloured = render(PAGE, Look { colour: true, ..Look::PLAIN });
        assert!(coloured.contains("One \x1b[36mword\x1b[0m and"), "{coloured:?}");
    }
}
