//! The request that `explain` is asked about: from a URL and headers to the bytes that a client would send.
//!
//! Nothing is mended on the way, so that what the proxy refuses is seen to be refused: a browser would resolve `..` and
//! escape a space before anybody sees them.

use std::net::IpAddr;

use bytes::BytesMut;

use crate::route::host::Authority;

/// A request over HTTP/1.1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestAsked {
    /// As it was given.
    pub url: String,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// A name in lower case, or an address.
    pub host: String,
    /// The port, when the URL has one.
    pub port: Option<u16>,
    /// GET and the like.
    pub method: String,
    /// The listener it comes to, when it is named.
    pub listener: Option<String>,
    authority: String,
    target: String,
    fields: Vec<String>,
}

/// What is asked beside the URL.
#[derive(Debug, Clone, Copy, Default)]
pub struct Beside<'a> {
    /// GET unless told.
    pub method: Option<&'a str>,
    /// `NAME: VALUE`.
    pub headers: &'a [String],
    /// `NAME=VALUE`.
    pub cookies: &'a [String],
    /// The listener, whatever DNS says.
    pub listener: Option<&'a str>,
}

impl Beside<'_> {
    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.method.is_none() && self.headers.is_empty() && self.cookies.is_empty() && self.listener.is_none()
    }
}

/// Whether a text that may be a name is a URL.
pub fn is_url(text: &str) -> bool {
    text.contains("://")
}

impl RequestAsked {
    /// Reads a request.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn read(url: &str, beside: Beside<'_>) -> Result<Self, String> {
        let wrong = |why: &str| format!("url `{}`: {why}", url.escape_debug());
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => ("https", rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => ("http", rest),
            _ => return Err(wrong("it begins with http:// or https://")),
        };
        if url.contains(|c: char| c.is_ascii_control() || c == ' ') {
            return Err(wrong("a space in it is written %20"));
        }
        // A fragment stays with the client (RFC 9110 section 7.1).
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let read = Authority::parse(authority).ok_or_else(|| wrong("its host is neither a name nor an address"))?;
        let fields = fields(beside)?;
        let method = beside.method.unwrap_or("GET");
        if method.is_empty() || !method.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!("method `{}`: one word, as in POST", method.escape_debug()));
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Ok(RequestAsked {
            url: url.to_owned(),
            scheme,
            host: read.host.trim_matches(['[', ']']).to_owned(),
            port: read.port,
            method: method.to_owned(),
            listener: beside.listener.map(str::to_owned),
            authority: authority.to_owned(),
            target,
            fields,
        })
    }

    /// The host, where it is an address and DNS is not asked.
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }

    /// Its head, as a client sends it.
    pub fn head(&self) -> BytesMut {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let names_host = |field: &String| field.split(':').next().is_some_and(|name| name.eq_ignore_ascii_case("host"));
        if !self.fields.iter().any(names_host) {
            head += &format!("Host: {}\r\n", self.authority);
        }
        self.fields.iter().for_each(|field| head += &format!("{field}\r\n"));
        head += "\r\n";
        BytesMut::from(head.as_str())
    }
}

fn fields(beside: Beside<'_>) -> Result<Vec<String>, String> {
    let breaks = |text: &str| text.contains(['\r', '\n', '\0']);
    if let Some(header) = beside.headers.iter().find(|header| !header.contains(':') || breaks(header)) {
        return Err(format!("header `{}`: a name and a value, as in 'x-canary: true'", header.escape_debug()));
    }
    if let Some(cookie) = beside.cookies.iter().find(|cookie| !cookie.contains('=') || breaks(cookie)) {
        return Err(format!("cookie `{}`: a name and a value, as in user=7", cookie.escape_debug()));
    }
    let cookies = Some(beside.cookies.join("; ")).filter(|cookies| !cookies.is_empty());
    Ok(beside.headers.iter().cloned().chain(cookies.map(|cookies| format!("cookie: {cookies}"))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Result<RequestAsked, String> {
        RequestAsked::read(url, Beside::default())
    }

    fn head(url: &str) -> String {
        String::from_utf8(read(url).unwrap().head().to_vec()).unwrap()
    }

    #[test]
    fn a_url_is_sent_as_it_is_written() {
        assert_eq!(
            head("http://Example.com:8080/a/%2e%2e/b?c#d"),
            "GET /a/%2e%2e/b?c HTTP/1.1\r\nHost: Example.com:8080\r\n\r\n"
        );
        assert_eq!(head("https://a.example?x"), "GET /?x HTTP/1.1\r\nHost: a.example\r\n\r\n");
        let asked = read("HTTPS://[2001:db8::1]:8443").unwrap();
        assert_eq!((asked.scheme, asked.port, asked.address()), ("https", Some(8443), "2001:db8::1".parse().ok()));
    }

    #[test]
    fn headers_and_cookies_go_along() {
        let (headers, cookies) = (["Host: b.example".to_owned()], ["a=1".to_owned(), "b=2".to_owned()]);
        let beside = Beside { method: Some("PUT"), headers: &headers, cookies: &cookies, listener: None };
        let head = RequestAsked::read("http://a.example/", beside).unwrap().head();
        assert_eq!(&head[..], b"PUT / HTTP/1.1\r\nHost: b.example\r\ncookie: a=1; b=2\r\n\r\n");
    }

    #[test]
    fn no_second_request_hides_in_one() {
        for url in
            ["ftp://a.example/", "a.example", "http:///x", "http://u@a.example/", "http://a/ b", "http://a/\r\nx:"]
        {
            assert!(read(url).is_err(), "{url}");
        }
        let with = |headers: &[&str], method| {
            let headers: Vec<String> = headers.iter().map(ToString::to_string).collect();
            RequestAsked::read("http://a/", Beside { headers: &headers, method, ..Beside::default() })
        };
        assert!(with(&["x"], None).is_err() && with(&["x: a\r\ny: b"], None).is_err());
        assert!(with(&[], Some("GET /")).is_err() && with(&[], Some("")).is_err());
    }
}
