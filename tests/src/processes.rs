//! A consortium of real processes: the built binary, started, killed with -9 and started again.
//!
//! - **Shapes**: institutions `INST-01` .. validate and publish, `LENDER-01` asks, `REGULATOR-01` audits; free loopback ports
//! - **Invariants**: everything goes through the command line, as an operator would do it; children die with the test

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fixtures::AS_OF;

/// The longest any wait may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary that `cargo test --workspace` builds beside the tests and the programs of this crate.
pub fn binary() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this program");
    // a test lies in target/<profile>/deps, a program in target/<profile>
    let folders = test.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join("participant-agent")).find(|binary| binary.exists());
    found.unwrap_or_else(|| panic!("no participant-agent beside {}: run `cargo build --release`", test.display()))
}

/// Runs a command of the agent with `--json` and gives its exit code and output.
pub fn call<S: AsRef<std::ffi::OsStr>>(args: impl IntoIterator<Item = S>) -> (i32, Value, String) {
    let Output { status, stdout, stderr } =
        Command::new(binary()).args(args).arg("--json").stdin(Stdio::null()).output().expect("the binary starts");
    let value = serde_json::from_slice(&stdout).unwrap_or(Value::Null);
    (status.code().unwrap_or(-1), value, String::from_utf8_lossy(&stderr).into_owned())
}

/// Directories of a consortium with one genesis.
#[derive(Debug)]
pub struct Processes {
    root: tempfile::TempDir,
}

/// A running agent; killed with -9 when dropped.
#[derive(Debug)]
pub struct Agent {
    dir: PathBuf,
    child: Child,
}

impl Processes {
    /// Makes keys and a genesis for `institutions` publishers that all validate, a lender and a regulator.
    pub fn new(institutions: usize, policy: &str) -> Processes {
        Self::adapted(institutions, policy, |_, _| {})
    }

    /// As [`Processes::new`], with every member's directory given to `adapt` (with its id) before the genesis is made.
    pub fn adapted(institutions: usize, policy: &str, adapt: impl FnMut(&str, &Path)) -> Processes {
        Self::with_validators(institutions, institutions, policy, adapt)
    }

    /// As [`Processes::adapted`], where only the first `validators` institutions validate.
    pub fn with_validators(
        institutions: usize,
        validators: usize,
        policy: &str,
        mut adapt: impl FnMut(&str, &Path),
    ) -> Processes {
        let root = tempfile::tempdir().expect("a folder");
        let roles = |number: usize| if number <= validators { "publisher,validator" } else { "publisher" };
        let mut members: Vec<(String, &str)> =
            (1..=institutions).map(|number| (format!("INST-{number:02}"), roles(number))).collect();
        members.push(("LENDER-01".into(), "lender"));
        members.push(("REGULATOR-01".into(), "regulator"));
        let this = Processes { root };
        let mut genesis: Vec<PathBuf> = Vec::new();
        for (id, roles) in &members {
            let dir = this.dir(id);
            let dir_text = dir.display().to_string();
            let base = participant_agent::ports::free_base_port(3).expect("free ports").to_string();
            let args = ["init", "member", "--dir", &dir_text, "--id", id, "--roles", roles, "--base-port", &base];
            let (code, _, stderr) = call(args.into_iter().chain(["--network", "kill-test", "--as-of", AS_OF]));
            assert_eq!(code, 0, "{stderr}");
            adapt(id, &dir);
            genesis.push(dir.join("member.toml"));
        }
        let policy_file = this.root.path().join("policy.toml");
        fs::write(&policy_file, policy).expect("policy.toml");
        let out = this.root.path().join("genesis.toml");
        let mut args: Vec<PathBuf> =
            ["init", "genesis", "--network", "kill-test", "--policy"].map(PathBuf::from).into();
        args.extend([policy_file, "--out".into(), out.clone()]);
        args.extend(genesis);
        let (code, _, stderr) = call(args);
        assert_eq!(code, 0, "{stderr}");
        for (id, _) in &members {
            fs::copy(&out, this.dir(id).join("genesis.toml")).expect("genesis.toml");
        }
        this
    }

    /// The folder that holds everything the run leaves behind.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// A member's directory.
    pub fn dir(&self, id: &str) -> PathBuf {
        self.root.path().join(id)
    }

    /// A folder beside the members' directories.
    pub fn folder(&self, name: &str) -> PathBuf {
        let dir = self.root.path().join(name);
        fs::create_dir_all(&dir).expect("a folder");
        dir
    }

    /// Starts an agent.
    pub fn start(&self, id: &str) -> Agent {
        self.start_with(id, None)
    }

    /// Starts an agent with a variable of its environment.
    pub fn start_with(&self, id: &str, variable: Option<(&str, &str)>) -> Agent {
        let dir = self.dir(id);
        let log = File::options().create(true).append(true).open(dir.join("agent.log")).expect("agent.log");
        let child = Command::new(binary())
            .args(["run".as_ref(), "--dir".as_ref(), dir.as_os_str()])
            .envs(variable)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("agent.log"))
            .stderr(log)
            .spawn()
            .expect("the agent starts");
        Agent { dir, child }
    }
}

impl Agent {
    /// Kills it with -9 and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("kill -9");
        self.child.wait().expect("it is gone");
    }

    /// CPU time it used so far, user and system, s.
    pub fn cpu_s(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("a running process");
        // the name in brackets may hold spaces; utime and stime are the 12th and 13th field after it, in ticks of 10 ms
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).expect("ticks");
        (ticks(11) + ticks(12)) as f64 / 100.0
    }

    /// The most memory it has held, MB.
    pub fn peak_mb(&self) -> u64 {
        peak_mb(&self.child.id().to_string())
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("agent.log")).unwrap_or_default()
    }

    /// Waits until `doctor` finds the agent running and `holds` is true of `/v1/chain/status`.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.until_within(PATIENCE, what, holds)
    }

    /// As [`Agent::until`], with another patience.
    pub fn until_within(&mut self, patience: Duration, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child") {
                panic!("the agent ended ({status}) while waiting for {what}:\n{}", self.log());
            }
            if let Some(status) = self.get("/v1/chain/status")
                && holds(&status)
            {
                return status;
            }
            assert!(Instant::now() < deadline, "waited too long for {what}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// GETs JSON from the local API with the operator's token; none unless it answers 200.
    pub fn get(&self, path: &str) -> Option<Value> {
        self.request("GET", path, "operator", "")
    }

    /// POSTs JSON to the local API with the token of a role; none unless it answers 200.
    pub fn post(&self, path: &str, role: &str, body: &str) -> Option<Value> {
        self.request("POST", path, role, body)
    }

    fn request(&self, method: &str, path: &str, role: &str, body: &str) -> Option<Value> {
        use std::io::{Read, Write};
        let config = fs::read_to_string(self.dir.join("agent.toml")).ok()?;
        let listen = config.lines().find_map(|line| line.strip_prefix("api_listen = \""))?.trim_end_matches('"');
        let tokens = fs::read_to_string(self.dir.join("api.token")).ok()?;
        let token = tokens.lines().find_map(|line| line.strip_prefix(role)?.strip_prefix(' '))?.trim();
        let mut stream = std::net::TcpStream::connect(listen).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {listen}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        let (head, body) = text.split_once("\r\n\r\n")?;
        head.starts_with("HTTP/1.1 200").then(|| serde_json::from_str(body).ok())?
    }
}

/// The most memory that a process (`self`, or its number) has held, MB.
pub fn peak_mb(process: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a running process");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
    peak.trim().trim_end_matches(" kB").parse::<u64>().expect("kB") / 1024
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Gone already is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
