//! The README's "Run five members yourself", word for word: every block of commands is executed, every promised line seen.
//!
//! - **Shapes**: a fence ```` ```sh by-hand ```` is run by bash as it stands, from a folder that looks like the clone; with
//!   `exit=N` it must end so; `terminal=NAME` is started and left running; a comment `<!-- by-hand ctrl-c NAME -->` interrupts
//!   that one. A fence ```` ```text by-hand ```` after it holds lines that must be among its output, in that order; `…`
//!   stands for anything. After terminals, each line must appear in one of them
//! - **Deviations**: if one of the README's ports is taken on this machine, the ports of every block are moved together

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use participant_agent::ports::{check_free, free_base_port};
use riskveil_tests::processes::binary;
use rustix::process::{Pid, Signal, kill_process_group};

/// The section that is followed.
const SECTION: &str = "\n## Run five members yourself\n";
/// First port of the section; it uses this one and the 49 after it.
const BASE_PORT: u16 = 17800;
/// How long a terminal may take to show what is promised.
const PATIENCE: Duration = Duration::from_secs(60);

/// One step of the section.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// Commands with the exit code that they end with.
    Run { commands: String, exit: i32 },
    /// Commands that stay up in a terminal of this name.
    Terminal { commands: String, name: String },
    /// Ctrl-C in that terminal.
    CtrlC { name: String },
    /// Lines that the step before shows.
    Shows(Vec<String>),
}

fn steps(readme: &str) -> Vec<Step> {
    let section = readme.split_once(SECTION).expect("the section").1;
    let section = section.split("\n## ").next().unwrap_or(section);
    let mut lines = section.lines();
    let mut steps = Vec::new();
    while let Some(line) = lines.next() {
        if let Some(name) = line.strip_prefix("<!-- by-hand ctrl-c ") {
            steps.push(Step::CtrlC { name: name.trim_end_matches(" -->").to_owned() });
        }
        let Some(fence) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let words: Vec<&str> = fence.split(' ').collect();
        if !words.contains(&"by-hand") {
            continue;
        }
        let of = |key: &str| words.iter().find_map(|word| word.strip_prefix(key));
        let commands = format!("{}\n", block.join("\n"));
        steps.push(match (words[0], of("terminal="), of("exit=")) {
            ("text", None, None) => Step::Shows(block.iter().map(|line| (*line).to_owned()).collect()),
            ("sh", Some(name), None) => Step::Terminal { commands, name: name.to_owned() },
            ("sh", None, exit) => Step::Run { commands, exit: exit.map_or(0, |n| n.parse().expect("an exit code")) },
            _ => panic!("a fence that this test does not know: {fence}"),
        });
    }
    steps
}

/// Whether `lines` are among the lines of `output`, in order; `…` stands for anything, white space for white space.
fn missing<'a>(lines: &'a [String], output: &str) -> Option<&'a str> {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut shown = output.lines().map(squeeze);
    let absent = |line: &&'a String| {
        let wanted = squeeze(line);
        !wanted.is_empty() && wanted != "…" && !shown.any(|shown| fits(&wanted, &shown))
    };
    lines.iter().find(absent).map(String::as_str)
}

fn fits(wanted: &str, shown: &str) -> bool {
    let mut parts = wanted.split('…');
    let Some(mut rest) = parts.next().and_then(|first| shown.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// The reader at the keyboard: a folder that looks like the clone, and terminals.
struct Hands {
    clone: tempfile::TempDir,
    terminals: BTreeMap<String, (Child, PathBuf)>,
    moved_to: Option<u16>,
}

impl Hands {
    fn new() -> Hands {
        let clone = tempfile::tempdir().expect("a folder");
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        std::os::unix::fs::symlink(here, clone.path().join("tests")).expect("the clone's tests");
        let built = clone.path().join("target/release");
        fs::create_dir_all(&built).expect("target/release");
        std::os::unix::fs::symlink(binary(), built.join("participant-agent")).expect("the clone's binary");
        let taken = (BASE_PORT..BASE_PORT + 50).any(|port| check_free(([127, 0, 0, 1], port).into(), "").is_err());
        let moved_to = taken.then(|| free_base_port(50).expect("free ports"));
        Hands { clone, terminals: BTreeMap::new(), moved_to }
    }

    /// The README's text with its ports, or with those that are free here.
    fn literal(&self, text: &str) -> String {
        let Some(base) = self.moved_to else { return text.to_owned() };
        (0..50)
            .fold(text.to_owned(), |text, at| text.replace(&format!("{}", BASE_PORT + at), &format!("{}", base + at)))
    }

    fn bash(&self, commands: &str, output: &Path) -> Child {
        let file = File::create(output).expect("a file for the output");
        let path = std::env::var("PATH").unwrap_or_default();
        let built = self.clone.path().join("target/release");
        Command::new("bash")
            .args(["-e", "-o", "pipefail", "-c", &self.literal(commands)])
            .current_dir(self.clone.path())
            .env("PATH", format!("{}:{path}", built.display()))
            .env_remove("RISKVEIL_PASSPHRASE_FILE")
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("the same file"))
            .stderr(file)
            .process_group(0)
            .spawn()
            .expect("bash starts")
    }

    fn output_file(&self, name: &str) -> PathBuf {
        self.clone.path().join(format!(".terminal-{name}"))
    }

    /// Follows the steps; gives what each one printed.
    fn follow(&mut self, steps: &[Step]) {
        let mut shown = (String::new(), None);
        for step in steps {
            match step {
                Step::Run { commands, exit } => {
                    let file = self.output_file("work");
                    let mut child = self.bash(commands, &file);
                    let status = child.wait().expect("bash ends");
                    let output = fs::read_to_string(&file).expect("its output");
                    println!("$ {commands}{output}");
                    assert_eq!(status.code(), Some(*exit), "{commands}\n{output}\n{}", self.logs());
                    shown = (output, None);
                }
                Step::Terminal { commands, name } => {
                    let file = self.output_file(name);
                    let child = self.bash(commands, &file);
                    self.terminals.insert(name.clone(), (child, file));
                    shown = (String::new(), Some(()));
                }
                Step::CtrlC { name } => self.ctrl_c(name),
                Step::Shows(lines) => {
                    let lines: Vec<String> = lines.iter().map(|line| self.literal(line)).collect();
                    let absent = match &shown.1 {
                        None => missing(&lines, &shown.0).map(|line| (line.to_owned(), shown.0.clone())),
                        Some(()) => self.wait_for(&lines),
                    };
                    if let Some((line, output)) = absent {
                        panic!("the README promises\n{line}\nand this was seen:\n{output}\n{}", self.logs());
                    }
                }
            }
        }
    }

    fn ctrl_c(&mut self, name: &str) {
        let (mut child, file) = self.terminals.remove(name).expect("a terminal of this name");
        interrupt(&child);
        let deadline = Instant::now() + PATIENCE;
        loop {
            match child.try_wait().expect("the terminal") {
                // bash is killed by the interrupt too, or reports what its command ended with
                Some(_) => break,
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(50)),
                None => panic!("{name} does not stop:\n{}", fs::read_to_string(&file).unwrap_or_default()),
            }
        }
        let log = fs::read_to_string(&file).unwrap_or_default();
        assert!(!log.contains("ERROR"), "{name} calls something an error while it stops:\n{log}");
    }

    /// Waits until each line stands in some terminal; otherwise the first that does not, and what there is.
    fn wait_for(&self, lines: &[String]) -> Option<(String, String)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.logs();
            match lines.iter().find(|line| missing(std::slice::from_ref(*line), &output).is_some()) {
                None => return None,
                Some(line) if Instant::now() > deadline => return Some((line.clone(), output)),
                Some(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn logs(&self) -> String {
        let log = |(name, (_, file)): (&String, &(Child, PathBuf))| {
            format!("--- {name}\n{}", fs::read_to_string(file).unwrap_or_default())
        };
        self.terminals.iter().map(log).collect()
    }
}

impl Drop for Hands {
    fn drop(&mut self) {
        for (child, _) in self.terminals.values_mut() {
            if let Some(group) = Pid::from_raw(child.id() as i32) {
                // gone already is as good
                let _ = kill_process_group(group, Signal::KILL);
            }
            let _ = child.wait();
        }
    }
}

/// Ctrl-C: the terminal sends SIGINT to its foreground processes.
fn interrupt(child: &Child) {
    let group = Pid::from_raw(child.id() as i32).expect("a process");
    kill_process_group(group, Signal::INT).expect("an interrupt");
}

#[test]
fn the_readme_is_followed_to_the_letter_between_five_terminals() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).expect("README.md");
    let steps = steps(&readme);
    let terminals = steps.iter().filter(|step| matches!(step, Step::Terminal { .. })).count();
    assert!(terminals >= 5, "five terminals, not {terminals}");
    for verb in ["init member", "init genesis", "publish", "check", "screen", "audit", "doctor", "disclose", "verify"] {
        let named = |step: &Step| matches!(step, Step::Run { commands, .. } if commands.contains(&format!("participant-agent {verb}")));
        assert!(steps.iter().any(named), "the README does not say how to {verb}");
    }
    Hands::new().follow(&steps);
}

#[test]
fn promised_lines_are_compared_with_ellipses_in_order_and_a_missing_one_is_named() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let output = "report 12ab\n  ALPHA   hit, 5 rows\n  BETA    clear\n";
    assert_eq!(missing(&lines("report …\nALPHA hit, … rows\nBETA clear"), output), None);
    assert_eq!(missing(&lines("BETA clear\nALPHA hit…"), output), Some("ALPHA hit…"));
    assert_eq!(missing(&lines("BETA hit"), output), Some("BETA hit"));
    assert!(fits("a…b…c", "a1b2c") && !fits("a…b…c", "a1c2b") && !fits("ab", "abc"));
}

#[test]
fn fences_become_steps_and_other_fences_are_left_alone() {
    let readme = "# x\n## Run five members yourself\n```sh\ncargo build\n```\n```sh by-hand terminal=ALPHA\nrun\n```\n\
        ```text by-hand\nready\n```\n<!-- by-hand ctrl-c ALPHA -->\n```sh by-hand exit=5\ncheck\n```\n## Next\n```sh by-hand\nno\n```\n";
    let expected = [
        Step::Terminal { commands: "run\n".into(), name: "ALPHA".into() },
        Step::Shows(vec!["ready".into()]),
        Step::CtrlC { name: "ALPHA".into() },
        Step::Run { commands: "check\n".into(), exit: 5 },
    ];
    assert_eq!(steps(readme), expected);
}
