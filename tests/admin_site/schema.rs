//! The part of JSON Schema that our OpenAPI document uses, read strictly: a field that a schema does not name is wrong.

use serde_json::Value;

use super::api::Answer;

/// The schemas of a document.
pub struct Schemas {
    document: Value,
}

impl Schemas {
    pub fn of(document: &Value) -> Schemas {
        Schemas { document: document.clone() }
    }

    /// Every `$ref` anywhere leads somewhere.
    pub fn all_resolve(&self) {
        fn refs<'a>(value: &'a Value, out: &mut Vec<&'a str>) {
            match value {
                Value::Object(map) => map.iter().for_each(|(key, value)| match value.as_str() {
                    Some(text) if key == "$ref" => out.push(text),
                    _ => refs(value, out),
                }),
                Value::Array(items) => items.iter().for_each(|item| refs(item, out)),
                _ => {}
            }
        }
        let mut out = Vec::new();
        refs(&self.document, &mut out);
        assert!(out.len() > 50, "there are references");
        for reference in out {
            self.resolve(reference);
        }
    }

    fn resolve(&self, reference: &str) -> &Value {
        let pointer = reference.strip_prefix('#').unwrap();
        self.document.pointer(pointer).unwrap_or_else(|| panic!("{reference} leads nowhere"))
    }

    /// Panics unless a value is what its schema says.
    pub fn check(&self, at: &str, schema: &Value, value: &Value) {
        if let Err(wrong) = self.fits(schema, value) {
            panic!("{at}: {wrong}\n{value:#}");
        }
    }

    /// A refusal is a problem (RFC 9457), if it is one.
    pub fn check_problem(&self, answer: &Answer) {
        if answer.status < 400 {
            return;
        }
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
        let problem = answer.json();
        self.check("problem", self.resolve("#/components/schemas/ProblemSaid"), &problem);
        assert_eq!(problem["status"], answer.status);
        assert!(problem["type"].as_str().unwrap().starts_with("urn:rhumb:problem:"));
        assert!(!problem["detail"].as_str().unwrap().is_empty());
    }

    fn fits(&self, schema: &Value, value: &Value) -> Result<(), String> {
        if let Some(reference) = schema["$ref"].as_str() {
            return self.fits(self.resolve(reference), value);
        }
        if let Some(any) = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array()) {
            let fit = any.iter().map(|one| self.fits(one, value)).find(Result::is_ok);
            return fit.unwrap_or_else(|| Err(format!("{value} is none of {any:?}")));
        }
        if let Some(words) = schema["enum"].as_array() {
            return words.contains(value).then_some(()).ok_or_else(|| format!("{value} is none of {words:?}"));
        }
        let types: Vec<&str> = match &schema["type"] {
            Value::String(one) => vec![one],
            Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
            _ => return Err(format!("no type in {schema}")),
        };
        let is = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(number) if number.is_f64() => "number",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let fits = types.contains(&is) || is == "integer" && types.contains(&"number");
        if !fits {
            return Err(format!("{value} is {is}, not {types:?}"));
        }
        match value {
            Value::Object(map) => self.object(schema, map),
            Value::Array(items) => items.iter().enumerate().try_for_each(|(at, item)| {
                let fixed = schema["prefixItems"].get(at);
                self.fits(fixed.unwrap_or(&schema["items"]), item).map_err(|wrong| format!("[{at}]: {wrong}"))
            }),
            _ => Ok(()),
        }
    }

    fn object(&self, schema: &Value, map: &serde_json::Map<String, Value>) -> Result<(), String> {
        let Some(properties) = schema["properties"].as_object() else { return Ok(()) };
        for required in schema["required"].as_array().into_iter().flatten() {
            let name = required.as_str().unwrap();
            if !map.contains_key(name) {
                return Err(format!("`{name}` is missing"));
            }
        }
        for (name, value) in map {
            let property = properties.get(name).ok_or_else(|| format!("`{name}` is not in the schema"))?;
            self.fits(property, value).map_err(|wrong| format!("{name}: {wrong}"))?;
        }
        Ok(())
    }
}
