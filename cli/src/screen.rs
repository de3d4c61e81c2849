//! The streams of a command, and the abilities of its terminal. A command uses these streams and
//! not those of the process, so tests run it in place with a known width and without colours. The
//! invariant: results go to `out`, messages to `err`, and a closed pipe (`mirrorc fields | head`)
//! only stops the output. (Rejected: `println!`, which panics on a closed pipe and cannot be tested
//! in place.)

use crate::exit::Failure;
use clap::builder::styling::{AnsiColor, Style};
pub use mrule_grammar::printable::printable;
use std::io::{self, IsTerminal, Read, Write};

/// The abilities of an output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// The width in columns.
    pub width: usize,
    /// Whether colours are used.
    pub colour: bool,
    /// Whether box-drawing characters are used; otherwise ASCII.
    pub unicode: bool,
    /// Whether the stream is a terminal, where progress bars make sense.
    pub live: bool,
}

impl Look {
    /// The abilities of a file or pipe, in tests and snapshots.
    pub const PLAIN: Look = Look { width: 100, colour: false, unicode: true, live: false };

    /// `text` in `style`, if colours are used.
    pub fn paint(self, style: Style, text: &str) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }
}

/// Headings.
pub const BOLD: Style = Style::new().bold();
/// Less important text.
pub const DIM: Style = Style::new().dimmed();
/// Success.
pub const GOOD: Style = AnsiColor::Green.on_default().bold();
/// Errors.
pub const BAD: Style = AnsiColor::Red.on_default().bold();
/// Warnings.
pub const DOUBT: Style = AnsiColor::Yellow.on_default().bold();
/// Hints.
pub const HINT: Style = AnsiColor::Cyan.on_default();

/// The `--color` choice: `auto` means on a terminal, unless NO_COLOR is set or TERM is `dumb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Colour {
    // No doc comments: clap would print them as a list below the option.
    #[default]
    #[allow(missing_docs, reason = "see above")]
    Auto,
    #[allow(missing_docs, reason = "see above")]
    Always,
    #[allow(missing_docs, reason = "see above")]
    Never,
}

/// The streams of one run of a command.
pub struct Screen<'a> {
    /// Standard input.
    pub input: &'a mut dyn Read,
    /// Results.
    pub out: &'a mut dyn Write,
    /// Messages.
    pub err: &'a mut dyn Write,
    /// The abilities of `out`.
    pub out_look: Look,
    /// The abilities of `err`.
    pub err_look: Look,
}

impl Screen<'_> {
    /// Applies a `--color` choice.
    pub fn choose(&mut self, colour: Colour) {
        let forced = match colour {
            Colour::Auto => return,
            Colour::Always => true,
            Colour::Never => false,
        };
        self.out_look.colour = forced;
        self.err_look.colour = forced;
    }

    /// Prints a failure and its help.
    pub fn fail(&mut self, failure: &Failure) -> io::Result<()> {
        let look = self.err_look;
        writeln!(self.err, "{} {}", look.paint(BAD, "error:"), printable(&failure.message))?;
        if let Some(help) = &failure.help {
            writeln!(self.err, "  {} {}", look.paint(HINT, "help:"), printable(help))?;
        }
        Ok(())
    }
}

/// The abilities of the process's standard output.
pub fn out_look() -> Look {
    look(&io::stdout(), supports_unicode::on(supports_unicode::Stream::Stdout))
}

/// The abilities of the process's standard error.
pub fn err_look() -> Look {
    look(&io::stderr(), supports_unicode::on(supports_unicode::Stream::Stderr))
}

/// The abilities of standard error now, and its number of lines: a terminal can be resized.
pub fn err_size(look: Look) -> (Look, usize) {
    match terminal_size::terminal_size_of(io::stderr()) {
        Some((width, height)) if width.0 > 0 && height.0 > 0 => {
            (Look { width: width.0.into(), ..look }, height.0.into())
        }
        _ => (look, 24),
    }
}

fn look<S: IsTerminal + std::os::fd::AsFd>(stream: &S, unicode: bool) -> Look {
    let live = stream.is_terminal();
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
    // https://no-color.org, and the CLICOLOR_FORCE of https://bixense.com/clicolors
    let colour = !set("NO_COLOR") && (set("CLICOLOR_FORCE") || live && !dumb);
    let columns = terminal_size::terminal_size_of(stream).map(|(w, _)| usize::from(w.0));
    let width = columns.filter(|w| *w > 0).unwrap_or(Look::PLAIN.width).clamp(40, 120);
    Look { width, colour, unicode, live: live && !dumb }
}

/// A writer that ignores all output after its reader has closed the pipe.
pub struct Quiet<W> {
    inner: W,
    gone: bool,
}

impl<W: Write> Quiet<W> {
    /// Wraps `inner`.
    pub fn new(inner: W) -> Self {
        Quiet { inner, gone: false }
    }

    fn forgive<T>(&mut self, result: io::Result<T>, instead: T) -> io::Result<T> {
        match result {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(instead)
            }
            other => other,
        }
    }
}

impl<W: Write> Write for Quiet<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gone {
            return Ok(bytes.len());
        }
        let result = self.inner.write(bytes);
        self.forgive(result, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        let result = self.inner.flush();
        self.forgive(result, ())
    }
}

/// Wraps a text at blanks into lines of at most `width` characters; a longer word stays whole.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let long = word.chars().count();
        if used > 0 && used + 1 + long > width {
            lines.push(String::new());
            used = 0;
        }
        if let Some(line) = lines.last_mut() {
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(word);
        }
        used += long;
    }
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that cannot go on should say where")]
    use super::*;

    struct ClosedPipe;
    impl Write for ClosedPipe {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_error() {
        let mut quiet = Quiet::new(ClosedPipe);
        quiet.write_all(b"one").unwrap();
        quiet.write_all(b"two").unwrap();
        quiet.flush().unwrap();
        assert!(quiet.gone);
    }
}
