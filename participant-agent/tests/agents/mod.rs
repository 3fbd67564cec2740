//! Whole agents in one process: real directories, keys, TLS, engine and journals, on free loopback ports.

#![allow(dead_code, unreachable_pub)] // each test file uses a part of it
#![allow(clippy::unwrap_used)] // a test that cannot go on says so

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use participant_agent::api::auth::{Role, TOKEN_FILE, Tokens};
use participant_agent::cli::client::LocalApi;
use participant_agent::cli::exit::CliError;
use participant_agent::keystore::{Keystore, Unlock};
use participant_agent::run::{GENESIS_FILE, run_until};
use rand::rngs::OsRng;
use riskveil_chain::genesis::{Genesis, GenesisAuditKey, genesis_audit_key_context};
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::member::{Member, Roles};
use riskveil_exchange::message::{Kind, MessageHeader};
use riskveil_exchange::policy::Policy;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The business date of the tests' data.
pub const AS_OF: &str = "2026-06-30";
/// The longest any wait of a test may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The columns of a file of records.
pub const HEADER: &str =
    "id_type,id_number,name,mobile,category,severity,overdue_days,amount_cents,currency,event_date,source_ref\n";
/// The members of [`Four`]: a validator that publishes, a publisher, a lender, a regulator.
pub const NAMES: [&str; 4] = ["INST-01", "INST-02", "LENDER-01", "REGULATOR-01"];

/// An agent that restarts needs its ports again; another consortium that starts meanwhile could be given one of them.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Directories of all members of a consortium that shares one genesis.
pub struct Consortium {
    pub root: TempDir,
    pub genesis: Genesis,
}

/// A running agent.
pub struct Agent {
    pub dir: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Result<(), CliError>>,
}

pub const PUBLISHER: Roles = Roles { lender: false, publisher: true, validator: false, regulator: false };
pub const VALIDATOR: Roles = Roles { lender: false, publisher: true, validator: true, regulator: false };
pub const LENDER: Roles = Roles { lender: true, publisher: false, validator: false, regulator: false };
pub const REGULATOR: Roles = Roles { lender: false, publisher: false, validator: false, regulator: true };

impl Consortium {
    /// Makes directories, keys and a genesis; `change` changes a policy with fast blocks and short windows.
    pub fn new(members: &[(&str, Roles)], change: impl FnOnce(&mut Policy)) -> Self {
        Self::begun_at(members, change, now_s() - 5)
    }

    /// The same with the time that period 0 begins.
    pub fn begun_at(members: &[(&str, Roles)], change: impl FnOnce(&mut Policy), genesis_time_s: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut policy = Policy { log_window_s: 2, empty_block_ms: 500, ..Policy::default() };
        change(&mut policy);
        let network = "test".to_owned();
        let mut audit_key = None;
        let mut entries = Vec::new();
        for (name, roles) in members {
            let id = MemberId::new(*name).unwrap();
            let dir = root.path().join(name);
            std::fs::create_dir(&dir).unwrap();
            let base = participant_agent::ports::free_base_port(3).unwrap();
            let keystore = Keystore::create(&dir, &Unlock::KeyFile, roles.regulator, &mut OsRng).unwrap();
            Tokens::create(&dir.join(TOKEN_FILE), &mut OsRng).unwrap();
            let [api, peer, engine] = [0, 1, 2].map(|at| format!("127.0.0.1:{}", base + at));
            let config = format!(
                "member = \"{name}\"\napi_listen = \"{api}\"\npeer_listen = \"{peer}\"\nengine_listen = \"{engine}\"\n\
                 as_of = \"{AS_OF}\"\n"
            );
            std::fs::write(dir.join("agent.toml"), config).unwrap();
            let keys = keystore.member().public();
            if let Some(secret) = keystore.regulator() {
                let context = genesis_audit_key_context(&network, &id);
                audit_key = Some(GenesisAuditKey {
                    regulator: id.clone(),
                    y: secret.audit.public(),
                    y_possession: secret.audit.prove_possession(&context, &mut OsRng),
                    seal_key: secret.seal.public(),
                    seal_possession: secret.seal.prove_possession(&context, &mut OsRng),
                    until_s: now_s() + 365 * 86_400,
                });
            }
            entries.push(Member {
                id,
                roles: *roles,
                identity_key: keys.identity,
                tls_key: keys.tls,
                engine_key: keys.engine,
                peer_address: peer,
                engine_address: engine,
            });
        }
        entries.sort_by(|a, b| a.id.cmp(&b.id));
        let genesis = Genesis {
            header: MessageHeader::new(Kind::Genesis),
            network,
            genesis_time_s,
            currency: "CNY".into(),
            policy,
            audit_key: audit_key.unwrap(),
            members: entries,
        };
        genesis.check().unwrap();
        let text = genesis.to_toml().unwrap();
        for (name, _) in members {
            std::fs::write(root.path().join(name).join(GENESIS_FILE), &text).unwrap();
        }
        Self { root, genesis }
    }

    pub fn dir(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Starts an agent; it is not ready yet when this returns.
    pub fn start(&self, name: &str) -> Agent {
        Agent::start(self.dir(name))
    }
}

/// Four members with short log windows, one such consortium at a time.
pub struct Four {
    _alone: tokio::sync::MutexGuard<'static, ()>,
    pub consortium: Consortium,
    pub one: Agent,
    pub two: Agent,
    pub lender: Agent,
    pub regulator: Agent,
}

impl Four {
    /// Members that follow the chain; nobody has published.
    pub async fn started(change: impl FnOnce(&mut Policy)) -> Self {
        let alone = ONE_AT_A_TIME.lock().await;
        let members: Vec<_> = NAMES.into_iter().zip([VALIDATOR, PUBLISHER, LENDER, REGULATOR]).collect();
        let consortium = Consortium::new(&members, |policy| {
            policy.log_window_s = 1;
            policy.leaf_due_windows = 6;
            policy.refuse_after_windows = 12;
            policy.request_ttl_s = 5;
            policy.clock_skew_s = 1;
            change(policy);
        });
        let [mut one, mut two, mut lender, regulator] = NAMES.map(|name| consortium.start(name));
        for agent in [&mut one, &mut two, &mut lender] {
            agent
                .until("a fresh replica", |status| status["fresh"] == true && status["height"].as_u64() > Some(0))
                .await;
        }
        Self { _alone: alone, consortium, one, two, lender, regulator }
    }

    /// Waits until every member has logged a window and the regulator's tip is past it.
    pub async fn logged_through(&mut self, window: u64) {
        self.regulator.until("the logs", |status| status["logged_through"].as_u64() >= Some(window)).await;
    }

    pub fn keystore(&self, name: &str) -> Keystore {
        Keystore::open(&self.consortium.dir(name), &Unlock::KeyFile).unwrap()
    }

    pub async fn stop(self) -> Consortium {
        for agent in [self.lender, self.two, self.regulator, self.one] {
            agent.stop().await.unwrap();
        }
        self.consortium
    }
}

impl Agent {
    pub fn start(dir: PathBuf) -> Self {
        let (stop, told) = oneshot::channel();
        let runs = dir.clone();
        let task = tokio::spawn(async move {
            run_until(&runs, true, async move {
                let _ = told.await;
            })
            .await
        });
        Self { dir, stop: Some(stop), task }
    }

    pub fn api(&self, role: Role) -> LocalApi {
        LocalApi::open(&self.dir, role).unwrap()
    }

    pub async fn status(&self) -> Option<Value> {
        self.api(Role::Operator).get("/v1/chain/status").await.ok()
    }

    /// Waits until the agent's chain status holds.
    pub async fn until(&mut self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.task.is_finished() {
                panic!("{} ended while waiting for {what}: {:?}", self.dir.display(), (&mut self.task).await);
            }
            if let Some(status) = self.status().await
                && holds(&status)
            {
                return status;
            }
            assert!(Instant::now() < deadline, "waited too long for {what}: {:?}", self.status().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn stop(mut self) -> Result<(), CliError> {
        let _ = self.stop.take().unwrap().send(());
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }

    /// Publishes a file and waits until it is done.
    pub async fn publish(&self, csv: &str) -> Value {
        let api = self.api(Role::Operator);
        let path = format!("/v1/publications?as_of={AS_OF}");
        let started: Value = api.post_bytes(&path, "text/csv", csv.as_bytes().to_vec()).await.unwrap();
        self.published(started["id"].as_str().unwrap()).await
    }

    /// Waits until a publication is done.
    pub async fn published(&self, id: &str) -> Value {
        let api = self.api(Role::Operator);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status: Value = api.get(&format!("/v1/publications/{id}")).await.unwrap();
            if status["state"] == "done" {
                return status;
            }
            assert!(Instant::now() < deadline, "{status}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Checks one subject.
    pub async fn check(&self, subject: Value) -> Result<Value, CliError> {
        self.api(Role::Underwriter).post("/v1/checks", &check_body(subject)).await
    }
}

pub fn check_body(subject: Value) -> Value {
    serde_json::json!({
        "subject": subject, "purpose": "pre_loan_approval", "consent_digest": "ab".repeat(32), "as_of": AS_OF
    })
}

/// POSTs with an idempotency key; the status and the body.
pub async fn post_with_key(dir: &Path, path: &str, key: &str, role: Role, body: &[u8]) -> (u16, String) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let config = participant_agent::config::load(dir).unwrap();
    let token = participant_agent::api::auth::token_of(&dir.join(TOKEN_FILE), role).unwrap();
    let mut stream = tokio::net::TcpStream::connect(config.api_listen).await.unwrap();
    let content_type = if path.starts_with("/v1/publications") { "text/csv" } else { "application/json" };
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: agent\r\nauthorization: Bearer {}\r\nidempotency-key: {key}\r\n\
         content-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        *token,
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
}

/// The verdict (and reason) of an institution in a report.
pub fn verdict(report: &Value, institution: &str) -> String {
    let answers = report["answers"].as_array().unwrap();
    let answer = answers.iter().find(|answer| answer["institution"] == institution).unwrap();
    let reason = answer["reason"].as_str().map(|reason| format!("({reason})")).unwrap_or_default();
    format!("{}{reason}", answer["verdict"].as_str().unwrap())
}

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

pub fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

/// The agent's metrics as text.
pub async fn metrics(dir: &Path) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let config = participant_agent::config::load(dir).unwrap();
    let mut stream = tokio::net::TcpStream::connect(config.api_listen).await.unwrap();
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}
