//! Changes to headers that an operator asked for.
//!
//! Read once: templates, names and constant values are checked with the configuration. What would break the message itself is
//! refused there: headers of one hop, and those that say where a body ends. A value that cannot stand in a header (a template
//! filled with a line break) is left out; the request goes on without it.

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::header;

use crate::model::HeaderEdit;
use crate::route::hop_by_hop::is_hop_by_hop;
use crate::route::template::Template;
use crate::route::template::Values;

/// One change, read.
#[derive(Debug, Clone)]
pub struct Edit {
    name: HeaderName,
    how: How,
}

#[derive(Debug, Clone)]
enum How {
    Set(Value),
    Add(Value),
    Remove,
}

#[derive(Debug, Clone)]
enum Value {
    /// The same for every request: cloned without copying.
    Constant(HeaderValue),
    Template(Template),
}

impl Edit {
    /// Reads a change; tells in a sentence why it cannot be.
    pub fn of(edit: &HeaderEdit) -> Result<Self, String> {
        let (name, how) = match edit {
            HeaderEdit::Set(name, text) => (name, How::Set(Value::of(text)?)),
            HeaderEdit::Add(name, text) => (name, How::Add(Value::of(text)?)),
            HeaderEdit::Remove(name) => (name, How::Remove),
        };
        match refusal(name) {
            Some(why) => Err(format!("header `{name}` cannot be changed: {why}")),
            None => Ok(Edit { name: name.clone(), how }),
        }
    }

    /// Makes the change.
    pub fn apply(&self, headers: &mut HeaderMap, values: &Values<'_>) {
        match &self.how {
            How::Set(value) => _ = value.filled(values).map(|value| headers.insert(&self.name, value)),
            How::Add(value) => _ = value.filled(values).map(|value| headers.append(&self.name, value)),
            How::Remove => _ = headers.remove(&self.name),
        }
    }
}

impl Value {
    fn of(text: &str) -> Result<Self, String> {
        let template = Template::parse(text)?;
        if template.captures() > 0 {
            return Err(format!("`{text}`: what an expression captures is for rewrites and redirects"));
        }
        match template.constant() {
            Some(constant) => {
                let value = HeaderValue::from_str(constant)
                    .map_err(|_| format!("`{}` cannot stand in a header", text.escape_debug()))?;
                Ok(Value::Constant(value))
            }
            None => Ok(Value::Template(template)),
        }
    }

    fn filled(&self, values: &Values<'_>) -> Option<HeaderValue> {
        match self {
            Value::Constant(value) => Some(value.clone()),
            Value::Template(template) => HeaderValue::try_from(template.filled(values)).ok(),
        }
    }
}

/// Why nobody may change that header.
fn refusal(name: &HeaderName) -> Option<&'static str> {
    if is_hop_by_hop(name) {
        Some("it is for one hop, and each of ours sets its own")
    } else if *name == header::CONTENT_LENGTH {
        Some("it says where the body ends")
    } else if *name == header::HOST {
        Some("routes and backends go by it; it is passed on as the client sent it")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::template::example;

    fn name(name: &'static str) -> HeaderName {
        HeaderName::from_static(name)
    }

    #[test]
    fn changes_are_made_in_order() {
        let mut headers = HeaderMap::new();
        headers.insert("x-a", HeaderValue::from_static("old"));
        headers.insert("server", HeaderValue::from_static("secret/1.0"));
        let edits = [
            HeaderEdit::Set(name("x-a"), "{client} via {host}".into()),
            HeaderEdit::Add(name("x-a"), "more".into()),
            HeaderEdit::Remove(name("server")),
        ];
        edits.iter().for_each(|edit| Edit::of(edit).unwrap().apply(&mut headers, &example(&[])));
        let left: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(left, [("x-a", "192.0.2.1 via a.example"), ("x-a", "more")]);
    }

    #[test]
    fn what_breaks_messages_is_refused() {
        for header in
            ["connection", "transfer-encoding", "te", "trailer", "upgrade", "keep-alive", "content-length", "host"]
        {
            assert!(Edit::of(&HeaderEdit::Remove(name(header))).is_err(), "{header}");
        }
        assert!(Edit::of(&HeaderEdit::Set(name("x-a"), "a\r\nb".into())).is_err());
        assert!(Edit::of(&HeaderEdit::Set(name("x-a"), "{nobody}".into())).is_err());
        assert!(Edit::of(&HeaderEdit::Set(name("x-a"), "{1}".into())).is_err());
    }

    #[test]
    fn no_value_ends_a_line() {
        let mut headers = HeaderMap::new();
        let values = Values { host: "a\r\nset-cookie: x", ..example(&[]) };
        Edit::of(&HeaderEdit::Set(name("x-a"), "{host}".into())).unwrap().apply(&mut headers, &values);
        assert!(headers.is_empty());
    }
}
