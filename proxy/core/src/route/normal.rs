//! Paths in normal form, and what a careless backend could make of them.
//!
//! Requests are matched by the normal form of their path, and that form is what backends receive, so that both sides speak
//! of one resource: escapes of unreserved characters decoded and the others in upper case (RFC 3986 section 6.2.2), dot
//! segments resolved (section 5.2.4), empty segments merged. What escapes remain can still mean more to a backend than to us:
//! `%2f` a separator, `..;` a dot segment. They are legitimate in many APIs, hence not refused for being there; the path is
//! read a second time as the most lenient backend would, and refused where *that* path belongs to another rule
//! (docs/security.md, "Paths").

use std::borrow::Cow;

/// Why a path is none. Answered 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub enum BadPath {
    /// It does not begin with a slash, or holds what no path may (RFC 3986 section 3.3).
    #[error("the path holds a character that it must not")]
    Character,
    /// `%` without two hexadecimal digits.
    #[error("the path holds a malformed escape")]
    Escape,
    /// An escaped NUL, or a UTF-8 sequence longer than it need be: nobody but attackers sends either.
    #[error("the path holds an escape that stands for no character")]
    NoCharacter,
    /// More `..` than segments.
    #[error("the path leads above its root")]
    AboveRoot,
    /// Its escapes could lead a backend to the path of another rule.
    #[error("the path is ambiguous: decoded once more it belongs to another route")]
    Ambiguous,
}

/// The normal form of a path without its query. Borrows where nothing changes, which is nearly always.
pub fn normal_path(path: &str) -> Result<Cow<'_, str>, BadPath> {
    if !path.starts_with('/') {
        return Err(BadPath::Character);
    }
    let plain = path.bytes().try_fold((true, b'x'), |(plain, before), byte| match byte {
        // Fragments never travel, and a backslash is a slash to half of the world.
        ..=b' ' | 0x7f.. | b'#' | b'?' | b'\\' => Err(BadPath::Character),
        b'%' => Ok((false, byte)),
        b'/' | b'.' if before == b'/' => Ok((false, byte)),
        _ => Ok((plain, byte)),
    })?;
    if plain.0 {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = unreserved_decoded(path)?;
    let segments = resolved(&decoded, AboveRoot::Refused)?;
    Ok(if segments == path { Cow::Borrowed(path) } else { Cow::Owned(segments) })
}

/// What the most lenient backend could read in a path in normal form: escaped separators and dots decoded, however often they
/// were escaped, backslashes for slashes, and segments without their parameters (`..;x`). `None` if that is the path itself.
pub fn lenient_path(normal: &str) -> Option<String> {
    if !normal.bytes().any(|b| matches!(b, b'%' | b';')) {
        return None;
    }
    let mut path = normal.to_owned();
    // Each round takes off a layer, and so ends.
    while let Some(next) = structure_decoded(&path) {
        path = next;
    }
    let path = path.replace('\\', "/");
    let bare: Vec<&str> = path.split('/').map(|segment| segment.split_once(';').map_or(segment, |(name, _)| name)).collect();
    let lenient = resolved(&bare.join("/"), AboveRoot::Ignored).expect("what is above the root is ignored");
    (lenient != normal).then_some(lenient)
}

/// Escapes decoded where they stand for an unreserved character (RFC 3986 section 2.3), in upper case elsewhere.
fn unreserved_decoded(path: &str) -> Result<String, BadPath> {
    let bytes = path.as_bytes();
    let mut decoded = String::with_capacity(path.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte != b'%' {
            decoded.push(char::from(byte));
            at += 1;
            continue;
        }
        let escaped = escape(bytes, at).ok_or(BadPath::Escape)?;
        if escaped == 0 || overlong(escaped, escape(bytes, at + 3)) {
            return Err(BadPath::NoCharacter);
        }
        if escaped.is_ascii_alphanumeric() || b"-._~".contains(&escaped) {
            decoded.push(char::from(escaped));
        } else {
            decoded.push_str(&path[at..at + 3].to_ascii_uppercase());
        }
        at += 3;
    }
    Ok(decoded)
}

/// The byte that is escaped at a position.
fn escape(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16);
    match bytes.get(at..at + 3)? {
        [b'%', high, low] => Some((digit(*high)? * 16 + digit(*low)?) as u8),
        _ => None,
    }
}

/// Whether two bytes begin a UTF-8 sequence that is longer than its character needs (RFC 3629 section 3), by which `/` has
/// been smuggled past many a check as `%c0%af`.
fn overlong(first: u8, second: Option<u8>) -> bool {
    match first {
        0xc0 | 0xc1 => second.is_some_and(|b| (0x80..=0xbf).contains(&b)),
        0xe0 => second.is_some_and(|b| (0x80..=0x9f).contains(&b)),
        0xf0 => second.is_some_and(|b| (0x80..=0x8f).contains(&b)),
        _ => false,
    }
}

/// One layer of escapes off all that could change which segments there are; `None` when nothing was.
fn structure_decoded(path: &str) -> Option<String> {
    const STRUCTURE: &[u8] = b"/\\.;%";
    let bytes = path.as_bytes();
    let escaped = |at: usize| escape(bytes, at).filter(|byte| STRUCTURE.contains(byte));
    (0..bytes.len()).find(|&at| escaped(at).is_some())?;
    let mut decoded = String::with_capacity(path.len());
    let mut at = 0;
    while at < bytes.len() {
        if let Some(byte) = escaped(at) {
            decoded.push(char::from(byte));
            at += 3;
        } else {
            decoded.push(char::from(bytes[at]));
            at += 1;
        }
    }
    Some(decoded)
}

#[derive(Clone, Copy, PartialEq)]
enum AboveRoot {
    Refused,
    Ignored,
}

/// Dot segments resolved, empty segments merged. A slash at the end stays one.
fn resolved(path: &str, above: AboveRoot) -> Result<String, BadPath> {
    let mut kept: Vec<&str> = Vec::new();
    let mut open = true;
    for segment in path.split('/').skip(1) {
        open = matches!(segment, "" | "." | "..");
        if segment == ".." {
            if kept.pop().is_none() && above == AboveRoot::Refused {
                return Err(BadPath::AboveRoot);
            }
        } else if !open {
            kept.push(segment);
        }
    }
    let mut path = String::with_capacity(path.len());
    for segment in &kept {
        path.push('/');
        path.push_str(segment);
    }
    if open {
        path.push('/');
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn normal_forms() {
        for (path, normal) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("/a//b", "/a/b"),
            ("//a", "/a"),
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a/%2e%2E/b", "/b"),
            ("/%61dmin", "/admin"),
            ("/%7Euser", "/~user"),
            ("/a%2fb", "/a%2Fb"),
            ("/caf%c3%a9", "/caf%C3%A9"),
            ("/...", "/..."),
            ("/.well-known/x", "/.well-known/x"),
            ("/a;b=c/d", "/a;b=c/d"),
            ("/a|b^c{d}", "/a|b^c{d}"),
        ] {
            assert_eq!(normal_path(path).unwrap(), normal, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for (path, why) in [
            ("a", BadPath::Character),
            ("", BadPath::Character),
            ("/a\\b", BadPath::Character),
            ("/a#b", BadPath::Character),
            ("/a b", BadPath::Character),
            ("/\u{e9}", BadPath::Character),
            ("/a\u{7f}", BadPath::Character),
            ("/%", BadPath::Escape),
            ("/%4", BadPath::Escape),
            ("/%zz", BadPath::Escape),
            ("/%u002f", BadPath::Escape),
            ("/%00", BadPath::NoCharacter),
            ("/%c0%af", BadPath::NoCharacter),
            ("/%e0%80%af", BadPath::NoCharacter),
            ("/..", BadPath::AboveRoot),
            ("/a/../../b", BadPath::AboveRoot),
            ("/%2e%2e/b", BadPath::AboveRoot),
        ] {
            assert_eq!(normal_path(path), Err(why), "{path}");
        }
    }

    #[test]
    fn what_a_lenient_backend_reads() {
        for (path, lenient) in [
            ("/a/b", None),
            ("/a%20b", None),
            ("/a%2Fb", Some("/a/b")),
            ("/public/..%2Fadmin", Some("/admin")),
            ("/public%2F..%2Fadmin", Some("/admin")),
            ("/public/..;/admin", Some("/admin")),
            ("/public/..;x=y/admin", Some("/admin")),
            ("/public/%5C..%5Cadmin", Some("/admin")),
            ("/public/%252e%252e/admin", Some("/admin")),
            ("/public/%25252e%25252e%25252fadmin", Some("/admin")),
            ("/public/..%3B/admin", Some("/admin")),
            ("/%2F%2F..%2F..", Some("/")),
        ] {
            assert_eq!(lenient_path(path).as_deref(), lenient, "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_form_is_its_own(path in "/(\\.|/|%2[ef]|%5[cC]|%25|%41|[a-c;]){0,12}") {
            if let Ok(normal) = normal_path(&path) {
                prop_assert!(normal.starts_with('/') && !normal.contains("//"));
                prop_assert!(normal.split('/').all(|s| s != "." && s != ".."));
                prop_assert_eq!(&normal_path(&normal).unwrap(), &normal);
            }
        }

        #[test]
        fn no_structure_is_left_in_a_lenient_one(path in "/(\\.|/|%2[eEfF]|%5[cC]|%25|%3[bB]|[a-c;]){0,12}") {
            if let Ok(normal) = normal_path(&path) {
                let lenient = lenient_path(&normal).unwrap_or(normal.into_owned());
                prop_assert!(!lenient.contains("//") && !lenient.contains(['\\', ';']));
                prop_assert!(lenient.split('/').all(|s| s != "." && s != ".."));
                prop_assert!(structure_decoded(&lenient).is_none());
            }
        }

        #[test]
        fn nothing_panics(path in "\\PC{0,30}") {
            if let Ok(normal) = normal_path(&path) {
                lenient_path(&normal);
            }
        }
    }
}
