//! What the demo says, and what it finds wrong.

use std::io::{IsTerminal, Write};

/// Plain text, with a little weight on a terminal that does not mind.
pub(super) struct Screen {
    out: std::io::Stdout,
    styled: bool,
    scenes: usize,
    faults: Vec<String>,
}

impl Screen {
    /// Standard output. <https://no-color.org>
    pub(super) fn new() -> Self {
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let out = std::io::stdout();
        Self { styled: out.is_terminal() && !unwanted, out, scenes: 0, faults: Vec::new() }
    }

    /// The beginning of a numbered scene.
    pub(super) fn scene(&mut self, title: &str) {
        self.scenes += 1;
        self.say(&format!("\n{}", self.style("1", &format!("{}. {title}", self.scenes))));
    }

    /// A line below it.
    pub(super) fn line(&self, text: &str) {
        self.say(format!("   {text}").trim_end());
    }

    /// A line that matters less.
    pub(super) fn aside(&self, text: &str) {
        self.line(&self.style("2", text));
    }

    /// Something that was expected, and whether it was so. What was not is remembered.
    pub(super) fn expect(&mut self, what: &str, faults: Vec<String>) {
        if faults.is_empty() {
            self.line(&format!("{} {what}", self.style("32", "ok")));
            return;
        }
        self.line(&format!("{} {what}", self.style("31", "WRONG")));
        for fault in faults {
            self.line(&format!("  {fault}"));
            self.faults.push(fault);
        }
    }

    /// All that was wrong so far.
    pub(super) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// A line as it stands. Whoever reads it may have gone (`causeway demo | head`), which is no matter.
    pub(super) fn say(&self, text: &str) {
        let _ = writeln!(self.out.lock(), "{text}");
    }

    fn style(&self, code: &str, text: &str) -> String {
        if self.styled { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
