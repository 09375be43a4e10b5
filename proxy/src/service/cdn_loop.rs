//! Requests that go in circles through clients' ports: `CDN-Loop` (RFC 8586).
//!
//! An endpoint can be an edge's https port, by mistake or by malice of whoever writes endpoints, and that edge may send the
//! request back. On clients' ports nothing tells an edge from a client, so each edge puts the fleet's name on what it sends on, and
//! answers 508 to what carries it already. A client that writes it there itself only refuses itself. The edge's own listeners
//! are known, and no endpoint; this is for those of others.

use pingora::Result;
use pingora::http::RequestHeader;

/// Who has sent the request on so far.
const CDN_LOOP: &str = "cdn-loop";

/// A fleet's entry: its name as a host name, which RFC 8586 section 2 wants to be unique.
#[derive(Debug)]
pub(super) struct Mark(String);

impl Mark {
    /// That of a fleet.
    pub(super) fn of(fleet: &str) -> Self {
        Self(format!("{fleet}.causeway.internal"))
    }

    /// Whether an edge of this fleet has sent the request on before. What is no text hides no entry beside it.
    pub(super) fn is_on(&self, request: &RequestHeader) -> bool {
        let values = request.headers.get_all(CDN_LOOP).iter();
        let entries = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        // An entry may have parameters.
        let mut ids = entries.filter_map(|entry| entry.split(|byte| *byte == b';').next());
        ids.any(|id| id.trim_ascii().eq_ignore_ascii_case(self.0.as_bytes()))
    }

    /// Notes that this fleet sends it on. Entries of others stay.
    pub(super) fn put_on(&self, request: &mut RequestHeader) -> Result<()> {
        request.append_header(CDN_LOOP, &*self.0).map(drop)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn request(values: &[&str]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for value in values {
            request.append_header("cdn-loop", *value).unwrap();
        }
        request
    }

    #[test]
    fn the_fleets_own_entry_is_found_among_others_and_no_other_is_taken_for_it() {
        for values in [
            &["shop.causeway.internal"][..],
            &["cdn.example; a=b", "x , Shop.Causeway.Internal;v=1"],
            &["a,shop.causeway.internal"],
        ] {
            assert!(Mark::of("shop").is_on(&request(values)), "{values:?}");
        }
        for values in [&[][..], &["bank.causeway.internal"], &["shop.causeway.internal.example"], &["x; y=shop"], &[""]] {
            assert!(!Mark::of("shop").is_on(&request(values)), "{values:?}");
        }
    }

    #[test]
    fn an_octet_that_is_no_text_hides_no_entry_beside_it() {
        let mut request = request(&[]);
        let joined = http::HeaderValue::from_bytes(b"\xff, shop.causeway.internal").unwrap();
        request.append_header("cdn-loop", joined).unwrap();
        assert!(Mark::of("shop").is_on(&request));
    }

    #[test]
    fn what_is_noted_is_found_and_others_entries_stay() {
        let mut request = request(&["cdn.example"]);
        let mark = Mark::of("shop");
        mark.put_on(&mut request).unwrap();
        assert!(mark.is_on(&request));
        assert_eq!(request.headers.get_all(CDN_LOOP).iter().count(), 2);
    }
}
