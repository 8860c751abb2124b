//! What are users of this machine called?

use std::fs;

/// The name of a user of this machine, or the number of one it has no name for.
pub fn user_name(uid: u32) -> String {
    let known = fs::read_to_string("/etc/passwd").ok().and_then(|text| {
        let named = text.lines().find_map(|line| {
            let mut fields = line.split(':');
            let (name, _password, number) = (fields.next()?, fields.next()?, fields.next()?);
            (number.parse() == Ok(uid)).then(|| name.to_owned())
        });
        named.filter(|name| !name.is_empty() && name.chars().all(|c| !c.is_control()))
    });
    known.unwrap_or_else(|| format!("user {uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names() {
        assert_eq!(user_name(0), "root");
        assert_eq!(user_name(u32::MAX - 7), "user 4294967288");
    }
}
