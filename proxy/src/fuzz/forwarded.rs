//! X-Forwarded-For: who is not listed speaks for nobody, and the next proxy reads of us what we read.

use std::net::IpAddr;

use http::{HeaderMap, HeaderValue};
use ipnet::IpNet;

use crate::forwarded::{Client, Scheme, client, headers};

const LISTED: &str = "10.0.0.0/8";

/// The first byte says whether a listed proxy sends it; each line is a value.
pub(super) fn forwarded_for(data: &[u8]) {
    let Some((&first, lines)) = data.split_first() else { return };
    let trusted = first % 2 == 1;
    let sender: IpAddr = if trusted { [10, 0, 0, 1] } else { [192, 0, 2, 1] }.into();
    let list: [IpNet; 1] = [LISTED.parse().expect("it is a network")];
    let values = lines.split(|byte| *byte == b'\n').filter_map(|line| HeaderValue::from_bytes(line).ok());
    let incoming: HeaderMap = values.map(|value| (http::HeaderName::from_static("x-forwarded-for"), value)).collect();
    let found = client(sender, &incoming, &list);
    assert_eq!((found.sender, found.trusted), (sender, trusted));
    assert_eq!(found.address, found.address.to_canonical());
    if !trusted {
        assert_eq!(found.address, sender, "who is not listed speaks for nobody");
    }
    let sent: HeaderMap = headers(&found, Scheme::Https, &HeaderValue::from_static("www.example.com"), &incoming)
        .into_iter()
        .map(|(name, value)| (http::HeaderName::from_static(name), value))
        .collect();
    let Client { address, .. } = client([10, 0, 0, 2].into(), &sent, &list);
    assert_eq!(address, found.address, "the next proxy believes {:?}", sent["x-forwarded-for"]);
    assert_eq!(sent["x-real-ip"].to_str().ok(), Some(&*found.address.to_string()));
}
