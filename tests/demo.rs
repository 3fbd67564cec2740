//! The demo from outside, on the sample and on harsh consortia: answers and rejects exact, the audit without findings.
//!
//! Runs the built binary as a user would. Consortia run one after the other: each starts seven processes.

use std::process::Command;

use riskveil_tests::checker::{DEFAULT_KEYS, Form, check};
use riskveil_tests::fixtures::{AS_OF, Fixture};
use riskveil_tests::processes::binary;

fn run_demo(fixture: &Fixture) {
    let out = tempfile::tempdir().expect("a folder");
    let run = Command::new(binary())
        .args(["demo", "--exit", "--base-port", "0", "--as-of", AS_OF])
        .arg("--data")
        .arg(fixture.dir())
        .arg("--out")
        .arg(out.path())
        .output()
        .expect("the demo starts");
    let stdout = String::from_utf8_lossy(&run.stdout);
    let stderr = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{}: {}\n{stdout}\n{stderr}", fixture.name(), run.status);

    let truth = fixture.file("truth.csv").expect("truth.csv");
    let answers = std::fs::read(out.path().join("answers.csv")).expect("answers.csv");
    let report = check(&truth, &answers, &DEFAULT_KEYS, Form::Dense).expect("answers and truth can be read");
    assert!(report.is_exact(), "{}: {report}", fixture.name());
    let mut rejected: Vec<String> = std::fs::read_to_string(out.path().join("rejects.csv"))
        .expect("rejects.csv")
        .lines()
        .skip(1)
        .map(str::to_owned)
        .collect();
    rejected.sort();
    let mut expected: Vec<String> = fixture
        .expected_rejects()
        .expect("expected_rejects.csv")
        .into_iter()
        .map(|reject| format!("{},{},{}", reject.institution, reject.record_number, reject.reason))
        .collect();
    expected.sort();
    assert_eq!(rejected, expected, "{}", fixture.name());
    println!("{}", stdout);
}

#[test]
fn the_demo_is_exact_on_the_sample_and_on_harsh_consortia() {
    run_demo(&Fixture::sample());
    for fixture in Fixture::all().expect("fixtures").iter().filter(|fixture| fixture.name().contains("harsh")) {
        run_demo(fixture);
    }
}
