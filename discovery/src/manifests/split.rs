//! A YAML stream cut into documents at the level of text, so that what is wrong in one document costs that one alone.
//!
//! `---` and `...` at the start of a line, alone or before a blank, are markers wherever they stand: YAML forbids them inside
//! every scalar (YAML 1.2.2, production 206, c-forbidden). Cutting there needs no parser, and is exact.

/// A document, as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Document<'a> {
    /// Its place among the file's documents, from 1; such as hold nothing but comments do not count.
    pub(super) number: usize,
    /// The line of the file that it begins with, from 1.
    pub(super) first_line: usize,
    /// Its text, with its markers and directives.
    pub(super) text: &'a str,
}

/// The documents that hold something.
pub(super) fn documents(text: &str) -> Vec<Document<'_>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut found = Vec::new();
    let mut open = Open::default();
    let mut at = 0;
    for (index, line) in text.split_inclusive('\n').enumerate() {
        let starts = marker(line, "---");
        // Directives and comments before a `---` belong to the document that it opens.
        if starts.is_some() && (open.marked || open.filled) {
            open.close(text, at, &mut found);
            open = Open { start: at, first_line: index + 1, ..Open::default() };
        }
        at += line.len();
        if let Some(rest) = starts {
            open.marked = true;
            open.filled |= !is_blank(rest);
        } else if marker(line, "...").is_some() {
            open.close(text, at, &mut found);
            open = Open { start: at, first_line: index + 2, ..Open::default() };
        } else {
            let directive = line.starts_with('%') && !open.marked && !open.filled;
            open.filled |= !directive && !is_blank(line);
        }
    }
    open.close(text, at, &mut found);
    found
}

/// The document that the lines go to.
struct Open {
    start: usize,
    first_line: usize,
    /// Whether its `---` was seen.
    marked: bool,
    /// Whether it holds more than comments.
    filled: bool,
}

impl Default for Open {
    fn default() -> Self {
        Self { start: 0, first_line: 1, marked: false, filled: false }
    }
}

impl Open {
    fn close<'a>(&self, text: &'a str, end: usize, found: &mut Vec<Document<'a>>) {
        if self.filled {
            found.push(Document { number: found.len() + 1, first_line: self.first_line, text: &text[self.start..end] });
        }
    }
}

/// What follows the marker on its line.
fn marker<'a>(line: &'a str, marker: &str) -> Option<&'a str> {
    line.strip_prefix(marker).filter(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']))
}

fn is_blank(line: &str) -> bool {
    let line = line.trim();
    line.is_empty() || line.starts_with('#')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<(usize, usize, &str)> {
        documents(text).into_iter().map(|d| (d.number, d.first_line, d.text)).collect()
    }

    #[test]
    fn markers_at_the_start_of_a_line_separate() {
        assert_eq!(cut("a: 1\n---\nb: 2\n--- # two\nc: 3"), [(1, 1, "a: 1\n"), (2, 2, "---\nb: 2\n"), (3, 4, "--- # two\nc: 3")]);
        assert_eq!(cut("a: 1\r\n---\r\nb: 2\r\n").len(), 2);
    }

    #[test]
    fn what_only_looks_like_a_marker_does_not() {
        assert_eq!(cut("a: |\n  ---\n  x\n----\nb---: 1\n---x\n").len(), 1);
    }

    #[test]
    fn documents_of_comments_do_not_count() {
        assert_eq!(cut("# head\n---\n---\n# Source: x\n---\na: 1\n---\n"), [(1, 5, "---\na: 1\n")]);
        assert_eq!(cut(""), []);
    }

    #[test]
    fn a_marker_may_carry_content() {
        assert_eq!(cut("--- {a: 1}\n--- 2\n").len(), 2);
    }

    #[test]
    fn an_end_marker_ends_and_directives_belong_to_what_follows() {
        assert_eq!(cut("a: 1\n...\n%YAML 1.2\n---\nb: 2\n"), [(1, 1, "a: 1\n...\n"), (2, 3, "%YAML 1.2\n---\nb: 2\n")]);
    }

    #[test]
    fn a_byte_order_mark_is_no_content() {
        assert_eq!(cut("\u{feff}---\na: 1\n"), [(1, 1, "---\na: 1\n")]);
    }
}
