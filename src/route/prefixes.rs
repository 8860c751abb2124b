//! The longest of many prefixes that a path lies under.
//!
//! Prefixes stand sorted, each with the longest other prefix that is its own beginning. The last of them that is not after the
//! path is the answer, or an ancestor of it is: whatever stands between a prefix of the path and the path begins with that
//! prefix. So one binary search and a few steps up, without hashing what a client sent.

/// Prefixes with what belongs to each.
#[derive(Debug, Clone)]
pub struct Prefixes<T> {
    entries: Box<[Entry<T>]>,
}

#[derive(Debug, Clone)]
struct Entry<T> {
    prefix: Box<str>,
    /// The longest entry that is a beginning of this one.
    parent: Option<u32>,
    value: T,
}

impl<T> Prefixes<T> {
    /// Of these; of two that are equal the first is found.
    pub fn of(mut prefixes: Vec<(String, T)>) -> Self {
        prefixes.sort_by(|a, b| a.0.cmp(&b.0));
        prefixes.dedup_by(|later, first| later.0 == first.0);
        let mut entries: Vec<Entry<T>> = Vec::with_capacity(prefixes.len());
        for (prefix, value) in prefixes {
            let mut parent = entries.len().checked_sub(1);
            while let Some(at) = parent.filter(|at| !prefix.starts_with(&*entries[*at].prefix)) {
                parent = entries[at].parent.map(|at| at as usize);
            }
            entries.push(Entry { prefix: prefix.into(), parent: parent.map(|at| at as u32), value });
        }
        Prefixes { entries: entries.into() }
    }

    /// What belongs to the prefixes a path lies under, the longest first.
    #[inline]
    pub fn under<'a>(&'a self, path: &'a str) -> impl Iterator<Item = &'a T> {
        let after = self.entries.partition_point(|entry| *entry.prefix <= *path);
        let up = |entry: &&'a Entry<T>| entry.parent.map(|at| &self.entries[at as usize]);
        let last = after.checked_sub(1).map(|at| &self.entries[at]);
        std::iter::successors(last, up).filter(|entry| lies_under(path, &entry.prefix)).map(|entry| &entry.value)
    }
}

/// Whether a path lies under a prefix, by whole segments: `/v2/a` and `/v2` under `/v2`, `/v20` not.
#[inline]
pub fn lies_under(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found<'a>(prefixes: &[&'a str], path: &str) -> Vec<&'a str> {
        let prefixes = Prefixes::of(prefixes.iter().map(|prefix| ((*prefix).to_owned(), *prefix)).collect());
        prefixes.under(path).copied().collect()
    }

    #[test]
    fn the_longest_first() {
        let prefixes = ["/", "/api", "/api/v2/", "/api/v2/users", "/static/"];
        assert_eq!(found(&prefixes, "/api/v2/users/7"), ["/api/v2/users", "/api/v2/", "/api", "/"]);
        assert_eq!(found(&prefixes, "/api/v2"), ["/api", "/"]);
        assert_eq!(found(&prefixes, "/api/v20"), ["/api", "/"]);
        assert_eq!(found(&prefixes, "/apis"), ["/"]);
        assert_eq!(found(&prefixes[1..], "/"), [""; 0]);
    }

    #[test]
    fn a_parent_is_found_across_its_other_children() {
        assert_eq!(found(&["/a", "/a/b", "/a/b/c", "/a/d"], "/a/e"), ["/a"]);
        assert_eq!(found(&["/a", "/a", "/b"], "/a"), ["/a"]);
    }

    proptest! {
        /// It finds what asking each prefix finds.
        #[test]
        fn it_is_asking_each(
            prefixes in proptest::collection::vec("(/[ab]{0,2}){1,3}", 0..12),
            path in "(/[ab]{0,2}){1,4}",
        ) {
            let table = Prefixes::of(prefixes.iter().map(|prefix| (prefix.clone(), prefix.clone())).collect());
            let mut each: Vec<&String> = prefixes.iter().filter(|prefix| lies_under(&path, prefix)).collect();
            each.sort_by_key(|prefix| std::cmp::Reverse(prefix.len()));
            each.dedup();
            prop_assert_eq!(table.under(&path).collect::<Vec<_>>(), each);
        }
    }
}
