//! The zone files of the repository are read without a complaint, and what is written from them reads the same.

use std::fs;
use std::path::{Path, PathBuf};

use rhumb::runtime::zone_files::read_zone;

fn shipped() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = |dir: &str| fs::read_dir(root.join(dir)).unwrap().map(|entry| entry.unwrap().path());
    files("tests/zones").chain(files("zones")).filter(|f| f.extension().is_some_and(|e| e == "zone")).collect()
}

#[test]
fn every_shipped_zone_is_read() {
    let files = shipped();
    assert!(files.len() >= 8);
    for file in files {
        match read_zone(&file, None) {
            Ok(zone) => assert_eq!(zone.warnings, [], "{}", file.display()),
            Err(all) => panic!("{}", all.iter().map(|p| format!("\n{p}")).collect::<String>()),
        }
    }
}
