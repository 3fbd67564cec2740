//! Greps everything that a run leaves behind, under the default policy, for every person in it: nobody is found.
//!
//! Real processes behind recording proxies publish the sample, check, screen, log and reconcile; then every file below
//! their directories, everything they printed at the finest log level, every byte at the proxies and the plaintext inside
//! the codecs is searched for each identifier and name of each record and applicant: raw, hex, base64 and plain hashes.

#![allow(clippy::unwrap_used)] // a test that cannot go on says so

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use participant_agent::keystore::{Keystore, Unlock};
use participant_agent::leaf_watch::LeafWatch;
use participant_agent::peers::client::PeerClient;
use participant_agent::peers::directory::Directory;
use participant_agent::peers::tls::TlsIdentity;
use participant_agent::query_log::{QueryLog, QueryLogKeys};
use participant_agent::walks::ask::{EVALUATE_PATH, EVALUATE_TYPE};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;
use riskveil_chain::genesis::Genesis;
use riskveil_crypto::{Digest32, codec};
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Period};
use riskveil_exchange::purpose::Purpose;
use riskveil_exchange::query::messages::{EvaluateResponse, Shape};
use riskveil_exchange::query::session::{Addressee, Consent, QueryParameters, Session, Subject};
use riskveil_exchange::record::{Day, IdType, Identifier};
use riskveil_tests::fixtures::{AS_OF, Fixture};
use riskveil_tests::leak::hashes;
use riskveil_tests::leak::proxy::Proxy;
use riskveil_tests::leak::scanner::{Found, Scanner, forms};
use riskveil_tests::processes::{Agent, Processes, call};
use serde_json::json;

const INSTITUTIONS: [&str; 5] = ["INST-01", "INST-02", "INST-03", "INST-04", "INST-05"];
const LENDER: &str = "LENDER-01";
const REGULATOR: &str = "REGULATOR-01";
/// Files that a user put there: what the person at the keyboard typed, not what the run left behind.
const INPUTS: [&str; 1] = ["subject.json"];

/// Every text about a person in the sample: as written, and identifiers in canonical form; names in GB 18030 too.
struct People(Vec<(String, Vec<u8>)>);

impl People {
    fn of(fixture: &Fixture) -> Self {
        let mut people = Self(Vec::new());
        let mut files: Vec<PathBuf> =
            INSTITUTIONS.map(|id| fixture.dir().join("institutions").join(format!("{id}.csv"))).into();
        files.push(fixture.dir().join("applicants.csv"));
        for file in files {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            let bytes = fs::read(&file).unwrap();
            let text =
                String::from_utf8(bytes.clone()).unwrap_or_else(|_| encoding_rs::GB18030.decode(&bytes).0.into());
            let text = text.trim_start_matches('\u{feff}');
            let mut table = csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes());
            let headers = table.headers().unwrap().clone();
            for (number, row) in table.records().enumerate() {
                let row = row.unwrap();
                let cell = |column: &str| headers.iter().position(|header| header == column).and_then(|at| row.get(at));
                for column in ["id_number", "mobile", "bank_card", "name"] {
                    let Some(text) = cell(column).filter(|text| !text.trim().is_empty()) else { continue };
                    let what = format!("{column} of row {number} of {name}");
                    people.add(&what, column, cell("id_type").unwrap_or_default(), text);
                }
            }
        }
        people
    }

    fn add(&mut self, what: &str, column: &str, id_type: &str, text: &str) {
        self.0.push((what.to_owned(), text.trim().as_bytes().to_vec()));
        let id_type = match column {
            "name" => {
                let (gbk, ..) = encoding_rs::GB18030.encode(text.trim());
                return self.0.push((format!("{what}, GB 18030"), gbk.into_owned()));
            }
            "mobile" => Some(IdType::Mobile),
            "bank_card" => Some(IdType::BankCard),
            _ => IdType::parse(id_type).ok(),
        };
        if let Some(Ok(identifier)) = id_type.map(|id_type| Identifier::parse(id_type, text, Day::MAX)) {
            let canonical = identifier.canonical_expose(|text| text.as_bytes().to_vec());
            self.0.push((format!("{what}, canonical"), canonical));
        }
    }

    fn scanner(&self) -> Scanner {
        Scanner::new(self.0.iter().map(|(what, text)| (what.clone(), text.as_slice())))
    }
}

/// The consortium, its proxies and what was printed or heard so far.
struct Run {
    network: Processes,
    agents: BTreeMap<String, Agent>,
    proxies: Vec<(String, Proxy)>,
    heard: Vec<(String, Vec<u8>)>,
}

impl Run {
    fn start() -> Self {
        let proxies = Mutex::new(Vec::new());
        // the default policy: an empty file
        let network = Processes::adapted(INSTITUTIONS.len(), "", |id, dir| {
            let config = fs::read_to_string(dir.join("agent.toml")).unwrap();
            let quieter = config.lines().filter(|line| !line.starts_with("log_level"));
            let finest = quieter.chain(["log_level = \"trace\""]).collect::<Vec<_>>().join("\n");
            fs::write(dir.join("agent.toml"), finest + "\n").unwrap();
            let mut member = fs::read_to_string(dir.join("member.toml")).unwrap();
            for (listen, announced) in [("peer_listen", "peer_address"), ("engine_listen", "engine_address")] {
                let target: SocketAddr = setting(&config, listen).parse().unwrap();
                let proxy = Proxy::start(target).unwrap();
                let line = |address: &str| format!("{announced} = \"{address}\"");
                let (before, after) = (line(&setting(&member, announced)), line(&proxy.address.to_string()));
                assert!(member.contains(&before), "{member}");
                member = member.replace(&before, &after);
                proxies.lock().unwrap().push((format!("{id} {listen}"), proxy));
            }
            fs::write(dir.join("member.toml"), member).unwrap();
        });
        let ids = INSTITUTIONS.into_iter().chain([LENDER, REGULATOR]);
        let mut agents: BTreeMap<String, Agent> = ids.map(|id| (id.to_owned(), network.start(id))).collect();
        for agent in agents.values_mut() {
            agent.until("a fresh replica", |status| status["fresh"] == true && status["height"].as_u64() > Some(0));
        }
        Self { network, agents, proxies: proxies.into_inner().unwrap(), heard: Vec::new() }
    }

    /// Runs a command, keeps what it printed.
    fn command(&mut self, args: &[&str]) -> i32 {
        let (code, value, stderr) = call(args);
        self.heard.push((format!("output of {}", args[0]), format!("{value}\n{stderr}").into_bytes()));
        code
    }

    fn dir(&self, id: &str) -> String {
        self.network.dir(id).display().to_string()
    }

    /// Sends bytes to an agent's local API and keeps the whole answer, headers included.
    fn raw(&mut self, id: &str, role: &str, method: &str, path: &str, content_type: &str, body: &[u8]) -> u16 {
        let dir = self.network.dir(id);
        let listen = setting(&fs::read_to_string(dir.join("agent.toml")).unwrap(), "api_listen");
        let tokens = fs::read_to_string(dir.join("api.token")).unwrap();
        let token = tokens.lines().find_map(|line| line.strip_prefix(&format!("{role} "))).unwrap_or("none").trim();
        let mut stream = TcpStream::connect(&listen).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {listen}\r\nauthorization: Bearer {token}\r\ncontent-type: {content_type}\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = Vec::new();
        // An agent may hang up on what it refuses before it has read it all.
        let _ = stream.read_to_end(&mut answer);
        let status = String::from_utf8_lossy(&answer).split(' ').nth(1).and_then(|code| code.parse().ok());
        self.heard.push((format!("answer of {id} to {method}"), answer));
        status.unwrap_or(0)
    }
}

fn setting(toml: &str, key: &str) -> String {
    let line = toml.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")));
    line.unwrap_or_else(|| panic!("no {key} in {toml}")).trim_end_matches('"').to_owned()
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}

/// The work of a day: publish, check, screen.
fn work(run: &mut Run, fixture: &Fixture) {
    for id in INSTITUTIONS {
        let file = fixture.dir().join("institutions").join(format!("{id}.csv"));
        let rejects = run.network.folder("out").join(format!("{id}-rejects.csv")).display().to_string();
        let (file, dir) = (file.display().to_string(), run.dir(id));
        let code = run.command(&["publish", &file, "--dir", &dir, "--as-of", AS_OF, "--rejects", &rejects]);
        assert_eq!(code, 0, "{id}");
    }
    let (lender, consent) = (run.dir(LENDER), run.network.folder("consents").join("all.txt"));
    fs::write(&consent, "they agreed").unwrap();
    let consent = consent.display().to_string();
    let subject = run.network.folder("inputs").join(INPUTS[0]);
    let subject_text = json!({"resident_id": "330328196209262973", "mobile": "13388233345"}).to_string();
    fs::write(&subject, subject_text).unwrap();
    let subject = subject.display().to_string();
    let asked = ["--consent", &consent, "--purpose", "pre_loan_approval", "--as-of", AS_OF];
    for _ in 0..3 {
        let code = run.command(&[&["check", "--dir", &lender, "--subject", &subject], &asked[..]].concat());
        assert_eq!(code, 0);
    }
    let out = run.network.folder("out").display().to_string();
    let applicants = fixture.dir().join("applicants.csv").display().to_string();
    let screen = ["screen", &applicants, "--dir", &lender, "--consent-batch", &consent, "--purpose"];
    let code = run.command(&[&screen[..], &["pre_loan_approval", "--as-of", AS_OF, "--out", &out]].concat());
    assert_eq!(code, 0);
}

/// Everything that can go wrong with a person's number in it: bodies, addresses, headers, wrong places.
fn provoke(run: &mut Run) {
    let id = "330328196209262973";
    let check = json!({"subject": {"resident_id": id, "mobile": "13388233345"}, "purpose": "pre_loan_approval",
        "consent_digest": "ab".repeat(32), "as_of": AS_OF});
    let mut statuses = Vec::new();
    let bodies = [
        check.to_string().replace("pre_loan_approval", id),
        check.to_string().replace("resident_id", id),
        check.to_string().replace("ab", "13388233345"),
        check.to_string().replace(id, "330328196209262974").replace("13388233345", "6217007844533816375"),
        format!("{{\"subject\": \"{id}\"}}"),
        format!("{id} is no JSON"),
        String::from_utf8(vec![b'7'; 80_000]).unwrap() + id,
    ];
    for body in &bodies {
        statuses.push(run.raw(LENDER, "underwriter", "POST", "/v1/checks", "application/json", body.as_bytes()));
        statuses.push(run.raw(LENDER, "underwriter", "POST", "/v1/screenings", "application/json", body.as_bytes()));
    }
    for path in [format!("/v1/records/{id}"), format!("/v1/checks?resident_id={id}"), format!("/{id}")] {
        for method in ["GET", "POST", "DELETE"] {
            statuses.push(run.raw(LENDER, "operator", method, &path, "text/plain", id.as_bytes()));
        }
    }
    for path in [format!("/v1/publications/{id}"), format!("/v1/screenings/{id}"), format!("/v1/chain/headers/{id}")] {
        statuses.push(run.raw("INST-01", "operator", "GET", &path, "text/plain", b""));
    }
    let rows = format!("id_type,id_number,category\nresident_id,{id},{id}\n\"{id}");
    for (content_type, role) in [("text/csv", "operator"), (id, "operator"), ("text/csv", "auditor"), ("text/csv", id)]
    {
        let path = format!("/v1/publications?as_of={id}");
        statuses.push(run.raw("INST-01", role, "POST", &path, content_type, rows.as_bytes()));
        statuses.push(run.raw("INST-01", role, "POST", "/v1/publications", content_type, rows.as_bytes()));
    }
    statuses.push(run.raw(REGULATOR, "auditor", "POST", "/v1/audit/subject", "application/json", bodies[5].as_bytes()));
    statuses.push(run.raw(
        REGULATOR,
        "operator",
        "POST",
        "/v1/audit/subject",
        "application/json",
        bodies[0].as_bytes(),
    ));
    let problems = statuses.iter().filter(|status| **status >= 400).count();
    assert!(problems > 20, "{statuses:?}");
    println!("provoked {problems} problem documents out of {} requests", statuses.len());
}

/// A real TLS session with the lender's keys: the plaintext of a request about a listed person and of its answer, and what
/// INST-01 says to an address and a body with a number in them.
fn session(run: &mut Run) -> Vec<(String, Vec<u8>)> {
    let genesis =
        Genesis::from_toml(&fs::read_to_string(run.network.dir(LENDER).join("genesis.toml")).unwrap()).unwrap();
    let keystore = Keystore::open(&run.network.dir(LENDER), &Unlock::KeyFile).unwrap();
    let responder = Keystore::open(&run.network.dir("INST-01"), &Unlock::KeyFile).unwrap();
    let k = responder.period_key(Period(0), 0).unwrap().unwrap().public_key();
    let (chain_id, lender) = (genesis.chain_id(), MemberId::new(LENDER).unwrap());
    let publisher = MemberId::new("INST-01").unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let params = QueryParameters {
        chain_id: &chain_id,
        lender: &lender,
        period: Period(0),
        audit_key_id: AuditKeyId(0),
        y: &genesis.audit_key.y,
        seal_key: &genesis.audit_key.seal_key,
        ref_height: Height(0),
        ref_header_hash: Digest32::ZERO,
        purpose: Purpose::PRE_LOAN_APPROVAL,
        now_s,
        ttl_s: 30,
    };
    let person = Identifier::parse(IdType::ResidentId, "340802199407205370", Day::MAX).unwrap();
    let subject = (Subject::new(vec![person]).unwrap(), Consent::new(Digest32::new([7; 32]), &mut rng));
    let prepared = Session::start(&params, Shape::Check, &[subject], &mut rng).unwrap();
    let to = [Addressee { publisher: &publisher, k: &k }];
    let request = prepared.address(&to, &keystore.member().identity, &mut rng).requests.remove(0);

    let identity = TlsIdentity::from_seed(&keystore.member().tls_seed).unwrap();
    let client = PeerClient::new(&identity, &Directory::new(genesis.members.iter().cloned())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let timeout = Duration::from_secs(5);
        let bytes = request.encode();
        let answer = client.post(&publisher, EVALUATE_PATH, EVALUATE_TYPE, bytes.clone(), timeout).await.unwrap();
        let response = EvaluateResponse::decode(&answer, Shape::Check).unwrap();
        assert_eq!(response.status, 0, "the session is a real one");
        for path in ["/peer/v1/evaluate", "/peer/v1/340802199407205370"] {
            let refused = client.post(&publisher, path, EVALUATE_TYPE, &b"340802199407205370"[..], timeout).await;
            assert!(refused.is_err());
        }
        vec![("request".to_owned(), bytes), ("response".to_owned(), answer.to_vec())]
    })
}

/// The receipts journal of a publisher, decrypted with its own key.
fn receipts(run: &Run, id: &str) -> Vec<Vec<u8>> {
    let dir = run.network.dir(id);
    let keystore = Keystore::open(&dir, &Unlock::KeyFile).unwrap();
    let genesis = Genesis::from_toml(&fs::read_to_string(dir.join("genesis.toml")).unwrap()).unwrap();
    let keys = QueryLogKeys { queries: keystore.journal_key("queries"), receipts: keystore.journal_key("receipts") };
    let watch = LeafWatch::new(genesis.policy.clone(), genesis.genesis_time_s);
    let mut entries = Vec::new();
    QueryLog::open(&dir.join("journal"), keys, genesis.policy, watch, |entry| entries.push(codec::encode(entry)))
        .unwrap();
    entries
}

#[test]
fn nothing_that_a_run_leaves_behind_tells_who_is_listed_or_asked_about() {
    let fixture = Fixture::sample();
    let people = People::of(&fixture);
    let mut scanner = people.scanner();
    println!("{} texts about people, {} patterns", people.0.len(), scanner.patterns());
    let mut run = Run::start();
    work(&mut run, &fixture);
    provoke(&mut run);
    let regulator = run.dir(REGULATOR);
    let subject = run.network.folder("inputs").join(INPUTS[0]).display().to_string();
    let reconcile = ["audit", "reconcile", "--dir", &regulator, "--wait"];
    assert_eq!(run.command(&reconcile), 0, "nobody deviated: {:?}", run.heard.last());
    // what the regulator asks to see names the person: the one place where the scanner must find somebody
    let (code, trail, stderr) = call(["audit", "subject", "--dir", &regulator, "--subject", &subject]);
    assert_eq!(code, 0, "{stderr}");
    let (code, log, stderr) = call(["audit", "log", "--dir", &regulator]);
    assert_eq!(code, 0, "{stderr}");
    assert!(!scanner.scan("control", "audit log", log.to_string().as_bytes()).is_empty(), "{trail}");
    // after the reconciliation: the lender's agent knows nothing of it and will never log it
    let codecs = session(&mut run);
    for id in INSTITUTIONS.into_iter().chain([LENDER, REGULATOR]) {
        assert_eq!(run.raw(id, "operator", "GET", "/metrics", "text/plain", b""), 200);
    }
    for (_, agent) in std::mem::take(&mut run.agents) {
        agent.kill();
    }

    let mut found: Vec<Found> = Vec::new();
    for (source, bytes) in &run.heard {
        found.extend(scanner.scan("printed and answered", source, bytes));
    }
    for (name, proxy) in &run.proxies {
        for bytes in proxy.recorded() {
            found.extend(scanner.scan("recorded at the proxies", name, &bytes));
        }
    }
    for (name, bytes) in &codecs {
        found.extend(scanner.scan("inside the TLS session", name, bytes));
    }
    for id in INSTITUTIONS {
        for entry in receipts(&run, id) {
            found.extend(scanner.scan("decrypted receipts", id, &entry));
        }
    }
    let mut archived = false;
    let row = fs::read_dir(run.network.dir(LENDER).join("chain")).is_ok().then(|| first_row(&run)).flatten();
    for path in files_below(run.network.root()) {
        let name = path.strip_prefix(run.network.root()).unwrap().display().to_string();
        if INPUTS.iter().any(|input| name.ends_with(input)) {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let kind = if name.ends_with("agent.log") { "logs at trace level" } else { "files" };
        let is_archive = name.starts_with(REGULATOR) && !name.contains("segments");
        archived |= is_archive && row.as_ref().is_some_and(|row| bytes.windows(row.len()).any(|at| at == row));
        found.extend(scanner.scan(kind, &name, &bytes));
    }
    for (kind, bytes) in &scanner.scanned {
        println!("{kind}: {bytes} bytes");
    }
    assert!(archived, "the block archive is readable here: a published row is in it byte for byte");
    let traffic = scanner.scanned.get("recorded at the proxies").copied().unwrap_or_default();
    assert!(traffic > 1 << 20, "the proxies saw {traffic} bytes");
    assert_eq!(found, [], "somebody is named");
}

/// The first row of INST-01 in the lender's replica: public bytes.
fn first_row(run: &Run) -> Option<Vec<u8>> {
    let segments = files_below(&run.network.dir(LENDER)).into_iter().find(|path| {
        path.to_string_lossy().contains("segments")
            && path.file_name().is_some_and(|n| n.to_string_lossy().contains("INST-01"))
    })?;
    let bytes = fs::read(segments).ok()?;
    Some(bytes[bytes.len() - 32 - 92..bytes.len() - 32].to_vec())
}

#[test]
fn the_scanner_finds_every_form_of_every_kind_of_text_where_it_is_planted() {
    let fixture = Fixture::sample();
    let people = People::of(&fixture);
    let mut scanner = people.scanner();
    let (mut planted, mut left_out) = (0, 0);
    let mut kinds = std::collections::BTreeSet::new();
    for (what, text) in people.0.iter().step_by(97) {
        for (form, pattern) in forms(text) {
            if pattern.len() < riskveil_tests::leak::scanner::SHORTEST {
                left_out += 1;
                continue;
            }
            let hay = [&[0x55; 1_000], pattern.as_slice(), &[0xaa; 500]].concat();
            let found = scanner.scan("planted", "hay", &hay);
            let hit = found.iter().any(|found| found.offset == 1_000 && found.what.form == form);
            assert!(hit, "{what}: {form} is not found: {found:?}");
            planted += 1;
            kinds.insert(form.split('+').next().unwrap().to_owned());
        }
    }
    // and inside other text, in the ways in which it would really leak
    let id = "330328196209262973";
    let json = format!("{{\"error\":\"no such person: {id}\"}}");
    assert!(!scanner.scan("planted", "hay", json.as_bytes()).is_empty());
    for shift in 0..3 {
        use base64::Engine as _;
        let inner = format!("{}{id}, overdue", "x".repeat(shift));
        for engine in [&base64::engine::general_purpose::STANDARD, &base64::engine::general_purpose::URL_SAFE] {
            assert!(!scanner.scan("planted", "hay", engine.encode(&inner).as_bytes()).is_empty(), "shift {shift}");
        }
    }
    for digest in hashes::all(id.as_bytes()) {
        assert!(!scanner.scan("planted", "hay", &digest).is_empty());
    }
    assert_eq!(scanner.scan("planted", "hay", b"330328196209262970"), [], "another number is not found");
    println!("{planted} plantings of {} forms found; {left_out} shorter than a window left out", kinds.len());
    assert!(kinds.len() >= 20, "{kinds:?}");
}

#[test]
fn the_plain_hashes_are_those_of_their_standards() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hex(&hashes::md5(b"abc")), "900150983cd24fb0d6963f7d28e17f72");
    assert_eq!(hex(&hashes::sha1(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_eq!(hex(&hashes::sm3(b"abc")), "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0");
    let long = [b'a'; 64];
    assert_eq!(hex(&hashes::md5(&long)), "014842d480b571495a4a0363793f7367");
    assert_eq!(hex(&hashes::sha1(&long)), "0098ba824b5c16427bd7a1122a5a442a25ec644d");
}
