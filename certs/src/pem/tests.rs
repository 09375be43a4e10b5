#![allow(clippy::unwrap_used)]

use super::*;
use crate::testing::*;

fn key_error(text: &[u8]) -> CertError {
    key(text).unwrap_err()
}

#[test]
fn line_ends_comments_and_other_sections_are_passed_over() {
    let pair = pair(&["a.example.com"]);
    let plain = String::from_utf8(pair.cert.clone()).unwrap();
    let expected = chain(&pair.cert).unwrap();
    let texts = [
        plain.replace('\n', "\r\n"),
        plain.replace("\r\n", "\n").replace('\n', "\r"),
        format!("# issued for a\nBag Attributes\n    localKeyID: 01\nsubject=CN = a\n\n{plain}\nthe end"),
        format!("\u{feff}{plain}"),
        format!("-----BEGIN DH PARAMETERS-----\nMAYCAQUCAQI=\n-----END DH PARAMETERS-----\n{plain}"),
        plain.trim_end().to_owned(),
    ];
    for text in texts {
        assert_eq!(chain(text.as_bytes()).unwrap(), expected, "{text}");
    }
}

#[test]
fn a_combined_file_serves_for_both_halves() {
    let pair = pair(&["a.example.com"]);
    for both in [[pair.cert.clone(), pair.key.to_vec()].concat(), [pair.key.to_vec(), pair.cert.clone()].concat()] {
        assert_eq!(chain(&both).unwrap(), chain(&pair.cert).unwrap());
        assert_eq!(key(&both).unwrap().secret_der(), key(&pair.key).unwrap().secret_der());
    }
}

#[test]
fn nothing_but_white_space_is_empty() {
    for text in [&b""[..], b" \r\n\t\n", b"\xef\xbb\xbf\n"] {
        assert_eq!(chain(text).unwrap_err(), CertError::Empty(Part::Certificate));
        assert_eq!(key_error(text), CertError::Empty(Part::Key));
    }
}

#[test]
fn text_and_der_without_sections_name_what_is_missing() {
    let pair = pair(&["a.example.com"]);
    let der = chain(&pair.cert).unwrap()[0].to_vec();
    for bytes in [&b"hello"[..], b"\x00\xff\xfe garbage \x80", &der] {
        assert_eq!(chain(bytes).unwrap_err(), CertError::Missing(Part::Certificate));
        assert_eq!(key_error(bytes), CertError::Missing(Part::Key));
    }
}

#[test]
fn exchanged_halves_are_told_as_such() {
    let pair = pair(&["a.example.com"]);
    assert_eq!(chain(&pair.key).unwrap_err(), CertError::Swapped(Part::Certificate));
    assert_eq!(key_error(&pair.cert), CertError::Swapped(Part::Key));
}

#[test]
fn keys_with_a_pass_phrase_are_told_as_such() {
    let pkcs8 = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let legacy = b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nMIIB\n\
        -----END RSA PRIVATE KEY-----\n";
    assert_eq!(key_error(pkcs8), CertError::EncryptedKey);
    assert_eq!(key_error(legacy), CertError::EncryptedKey);
}

#[test]
fn a_section_cut_short_is_refused_even_behind_a_whole_one() {
    let pair = pair(&["a.example.com"]);
    let cut = [&pair.cert[..], b"-----BEGIN CERTIFICATE-----\nMIIB\n"].concat();
    let reason = "a section has no END line".to_owned();
    assert_eq!(chain(&cut).unwrap_err(), CertError::BadPem { part: Part::Certificate, reason });

    let not_base64 = b"-----BEGIN PRIVATE KEY-----\n!!!!\n-----END PRIVATE KEY-----\n";
    let reason = "a section is not base64".to_owned();
    assert_eq!(key_error(not_base64), CertError::BadPem { part: Part::Key, reason });
}
