//! The measurements of `benches/scale` run, at a size for tests: their figures are for a release build and a large one.

mod common;

use std::process::Command;

#[test]
fn the_measurements_of_many_vips_run() {
    let Some(python) = common::program("python3") else { return common::skipped("python3 is not installed") };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/scale/run.py");
    let mut command = Command::new(python);
    command.args([script, "--rhumb", env!("CARGO_BIN_EXE_rhumb"), "--vips", "300", "--pools", "60", "--flips", "4"]);
    let out = command.output().unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    for figure in ["check ", "300 VIPs", "start ", "flip ", "reload ", "after "] {
        assert!(said.contains(figure), "no {figure}: {said}");
    }
}
