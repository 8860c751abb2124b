//! What routing looks at of a request.

use http::HeaderMap;
use http::Method;

/// A request's head, understood: the host in the form of [`super::host`], the path in that of [`super::path`].
#[derive(Debug, Clone, Copy)]
pub struct Head<'a> {
    /// Lower case, without port.
    pub host: &'a str,
    /// Normalised; `*` for `OPTIONS *`.
    pub path: &'a str,
    /// As the client wrote it, without the `?`.
    pub query: Option<&'a str>,
    /// GET and the like.
    pub method: &'a Method,
    /// As they came.
    pub headers: &'a HeaderMap,
}

/// Heads of tests.
#[cfg(test)]
pub(super) mod testing {
    use super::*;

    /// A request as tests write it.
    #[derive(Debug, Clone)]
    pub(crate) struct Request {
        pub(crate) method: Method,
        pub(crate) host: String,
        pub(crate) path: String,
        pub(crate) query: Option<String>,
        pub(crate) headers: HeaderMap,
    }

    impl Request {
        /// `example.com/a?b=1` with these headers.
        pub(crate) fn get(target: &str, headers: &[(&str, &str)]) -> Self {
            let (rest, query) =
                target.split_once('?').map_or((target, None), |(rest, query)| (rest, Some(query.to_owned())));
            let at = rest.find(['/', '*']).unwrap();
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.append(http::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap());
            }
            Request {
                method: Method::GET,
                host: rest[..at].to_owned(),
                path: rest[at..].to_owned(),
                query,
                headers: map,
            }
        }

        pub(crate) fn head(&self) -> Head<'_> {
            Head {
                host: &self.host,
                path: &self.path,
                query: self.query.as_deref(),
                method: &self.method,
                headers: &self.headers,
            }
        }
    }
}
