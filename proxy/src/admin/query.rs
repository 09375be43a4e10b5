//! The query of `/explain`.

use std::net::IpAddr;

use http::Uri;

/// A request to be explained.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainQuery {
    /// Where it would go: absolute, with a host.
    pub url: Uri,
    /// Who would send it; `None`: a client that nothing is known of.
    pub client: Option<IpAddr>,
}

/// Why a query cannot be explained, said to whoever typed it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// There is no `url`.
    #[error("`url` is missing; write /explain?url=https://www.example.com/&client=192.0.2.1")]
    NoUrl,
    /// `url` is none, or a relative one.
    #[error("`url` is not http:// or https:// with a host: {0}")]
    Url(String),
    /// `client` is no address.
    #[error("`client` is not an IP address: {0}")]
    Client(String),
    /// A parameter that does not exist.
    #[error("there is no parameter `{0}`; write `url` and `client`, and %26 for & inside the URL")]
    Unknown(String),
}

impl ExplainQuery {
    /// Reads `url=...&client=...`, form-encoded.
    pub fn parse(query: &str) -> Result<Self, QueryError> {
        let (mut url, mut client) = (None, None);
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*key {
                "url" => {
                    let parsed = value.parse::<Uri>().ok().filter(|uri| {
                        matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty())
                    });
                    url = Some(parsed.ok_or_else(|| QueryError::Url(quote(&value)))?);
                }
                "client" => client = Some(value.parse().map_err(|_| QueryError::Client(quote(&value)))?),
                _ => return Err(QueryError::Unknown(quote(&key))),
            }
        }
        Ok(Self { url: url.ok_or(QueryError::NoUrl)?, client })
    }
}

/// Enough of a text to recognise it, with nothing in it that a terminal would obey.
fn quote(text: &str) -> String {
    text.chars().take(100).flat_map(char::escape_default).collect()
}
