//! Holds the layers: a module of `src/lib.rs` uses only modules declared above it.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, out);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
}

/// The modules of `lib.rs`, innermost first.
fn layers() -> Vec<String> {
    let lib = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/src/lib.rs")).unwrap();
    lib.lines().filter_map(|l| l.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect()
}

#[test]
fn a_module_uses_only_those_above_it() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let layers = layers();
    assert!(layers.len() > 10, "lib.rs declares the modules one a line");
    let mut files = Vec::new();
    sources(root, &mut files);
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(root).unwrap();
        let module =
            inside.components().next().unwrap().as_os_str().to_string_lossy().trim_end_matches(".rs").to_owned();
        let Some(own) = layers.iter().position(|l| *l == module) else { continue };
        for (number, line) in fs::read_to_string(&file).unwrap().lines().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            for path in code.split("crate::").skip(1) {
                let used: String = path.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                match layers.iter().position(|l| *l == used) {
                    Some(layer) if layer <= own => {}
                    Some(_) => wrong.push(format!("src/{}:{}: `{module}` uses `{used}`", inside.display(), number + 1)),
                    None => wrong.push(format!(
                        "src/{}:{}: no module `{used}` (write crate::module::Thing)",
                        inside.display(),
                        number + 1
                    )),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "layers (src/lib.rs, innermost first) are crossed:\n{}", wrong.join("\n"));
}
