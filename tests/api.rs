//! The local API of running agents: every route with every role and none, every limit, keys that survive `kill -9`, pages.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use participant_agent::api::auth::Role;
use participant_agent::api::route::{Accepts, Access, MAX_KEY_BYTES, Route};
use participant_agent::api::{LOCAL, UNDER_WAY};
use participant_agent::peers::server::Limits;
use riskveil_tests::fixtures::AS_OF;
use riskveil_tests::processes::{Agent, Processes};
use serde_json::{Value, json};

const POLICY: &str = "log_window_s = 2\nempty_block_ms = 500\n";
const HEADER: &str =
    "id_type,id_number,name,mobile,category,severity,overdue_days,amount_cents,currency,event_date,source_ref\n";
const SUBJECT: &str = "11010119900307109X";

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map(|h| h.1)
    }

    /// That it is this problem, as a document.
    #[track_caller]
    fn assert_problem(&self, status: u16, word: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let document = self.json();
        assert_eq!(document["type"], format!("urn:riskveil:problem:{word}"), "{document}");
        assert_eq!(document["status"], status, "{document}");
        assert!(document["title"].is_string());
    }
}

/// One agent's API.
struct Api {
    address: String,
    tokens: BTreeMap<String, String>,
}

impl Api {
    fn of(dir: &Path) -> Self {
        let config = fs::read_to_string(dir.join("agent.toml")).expect("agent.toml");
        let listen = config.lines().find_map(|line| line.strip_prefix("api_listen = \"")).expect("api_listen");
        let tokens = fs::read_to_string(dir.join("api.token")).expect("api.token");
        let tokens = tokens.lines().filter_map(|line| line.split_once(' '));
        Self {
            address: listen.trim_end_matches('"').to_owned(),
            tokens: tokens.map(|(role, token)| (role.to_owned(), token.to_owned())).collect(),
        }
    }

    fn open(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("the agent listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        stream
    }

    /// Sends bytes as they are and reads to the end.
    fn raw(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.open();
        stream.write_all(bytes).expect("the agent reads");
        read(stream)
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: agent\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !headers.iter().any(|(name, _)| *name == "content-length" || *name == "transfer-encoding") {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        self.raw(&[head.as_bytes(), b"\r\n", body].concat())
    }

    fn bearer(&self, role: Role) -> String {
        format!("Bearer {}", self.tokens[role.word()])
    }

    fn get(&self, role: Role, path: &str) -> Answer {
        self.send("GET", path, &[("authorization", &self.bearer(role))], b"")
    }

    fn post(&self, role: Role, path: &str, key: Option<&str>, body: &[u8]) -> Answer {
        let bearer = self.bearer(role);
        let content_type = if path.starts_with("/v1/publications") { "text/csv" } else { "application/json" };
        let mut headers = vec![("authorization", bearer.as_str()), ("content-type", content_type)];
        headers.extend(key.map(|key| ("idempotency-key", key)));
        self.send("POST", path, &headers, body)
    }
}

fn read(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer, then the end");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// A path of a route that leads somewhere, or nowhere politely.
fn path_of(route: &Route) -> String {
    let digest = "0".repeat(64);
    route.path.replace("{height}", "1").replace("{id}", &digest).replace("{core_digest}", &digest)
}

/// The role that may call a route.
fn allowed(route: &Route) -> Option<Role> {
    match route.access {
        Access::Token(roles) => roles.first().copied(),
        Access::Open | Access::Member => None,
    }
}

struct Three {
    network: Processes,
    agents: BTreeMap<&'static str, Agent>,
}

/// A publisher that validates, a lender, a regulator; all fresh.
fn three() -> Three {
    let network = Processes::new(1, POLICY);
    let mut agents: BTreeMap<_, _> =
        ["INST-01", "LENDER-01", "REGULATOR-01"].map(|id| (id, network.start(id))).into_iter().collect();
    for agent in agents.values_mut() {
        agent.until("a fresh replica", |status| status["fresh"] == true);
    }
    let publisher = Api::of(&network.dir("INST-01"));
    let deadline = Instant::now() + Duration::from_secs(60);
    while publisher.send("GET", "/readyz", &[], b"").status != 200 {
        assert!(Instant::now() < deadline, "the publisher's key is not on chain");
        std::thread::sleep(Duration::from_millis(50));
    }
    Three { network, agents }
}

impl Three {
    fn api(&self, id: &str) -> Api {
        Api::of(&self.network.dir(id))
    }

    fn restart(&mut self, id: &'static str) {
        self.agents.remove(id).expect("it runs").kill();
        let mut agent = self.network.start(id);
        agent.until("a fresh replica", |status| status["fresh"] == true);
        self.agents.insert(id, agent);
    }
}

fn check_body(mobile: &str) -> Vec<u8> {
    let body = json!({ "subject": { "mobile": mobile }, "purpose": "pre_loan_approval", "as_of": AS_OF,
                       "consent_digest": "ab".repeat(32) });
    serde_json::to_vec(&body).expect("JSON")
}

fn screening_body(applicants: usize) -> Vec<u8> {
    let applicant = |number: usize| {
        json!({ "applicant_ref": format!("A-{number}"), "id_type": "resident_id", "id_number": SUBJECT,
                "consent_digest": "ab".repeat(32) })
    };
    let applicants: Vec<Value> = (0..applicants).map(applicant).collect();
    let body = json!({ "purpose": "pre_loan_approval", "as_of": AS_OF, "applicants": applicants });
    serde_json::to_vec(&body).expect("JSON")
}

#[test]
fn every_route_takes_its_roles_and_refuses_every_other_and_none() {
    let all = three();
    for id in ["INST-01", "LENDER-01", "REGULATOR-01"] {
        let api = all.api(id);
        for route in LOCAL {
            let (method, path) = (route.method.as_str(), path_of(route));
            let Access::Token(roles) = route.access else {
                assert_eq!(api.send(method, &path, &[], b"").status, 200, "{path} needs no token");
                continue;
            };
            let none = api.send(method, &path, &[], b"");
            none.assert_problem(401, "unauthorized");
            assert_eq!(none.header("www-authenticate"), Some("Bearer"));
            for wrong in ["Bearer 00", "Basic eDp5", "Bearer", &format!("Bearer {}", "0".repeat(64))] {
                api.send(method, &path, &[("authorization", wrong)], b"").assert_problem(401, "unauthorized");
            }
            for role in Role::ALL {
                let answer = api.send(method, &path, &[("authorization", &api.bearer(role))], b"");
                if roles.contains(&role) {
                    assert!(!matches!(answer.status, 401 | 403 | 405 | 500..), "{path} {role}: {answer:?}");
                } else {
                    answer.assert_problem(403, "forbidden");
                }
            }
        }
    }
    // another agent's token is no token here
    let stranger = all.api("REGULATOR-01").bearer(Role::Operator);
    let answer = all.api("INST-01").send("GET", "/v1/members", &[("authorization", &stranger)], b"");
    answer.assert_problem(401, "unauthorized");
}

#[test]
fn every_refusal_is_a_problem_document() {
    let all = three();
    let api = all.api("LENDER-01");
    // addresses and methods
    for nothing in ["/", "/v1", "/v1/checks/", "/v2/checks", "/v1/chain/headers/", "/metrics/x", "/%2e%2e/etc"] {
        api.get(Role::Operator, nothing).assert_problem(404, "not-found");
    }
    for route in LOCAL {
        for method in ["DELETE", "PUT", "OPTIONS", "PATCH"] {
            let other = api.send(method, &path_of(route), &[], b"");
            other.assert_problem(405, "method-not-allowed");
            assert_eq!(other.header("allow"), Some(route.method.as_str()), "{}", route.path);
        }
    }
    // values in addresses and query strings
    for height in ["-1", "one", "1.5", "99999999999999999999", "%31%"] {
        let answer = api.get(Role::Operator, &format!("/v1/chain/headers/{height}"));
        answer.assert_problem(400, "malformed");
    }
    api.get(Role::Operator, "/v1/chain/headers/9007199254740991").assert_problem(404, "not-found");
    for route in LOCAL.iter().filter(|route| matches!(route.accepts, Accepts::Nothing)) {
        let role = allowed(route).unwrap_or(Role::Operator);
        api.get(role, &format!("{}?surprise=1", path_of(route))).assert_problem(400, "malformed");
    }
    for query in ["limit=0", "limit=10001", "limit=-1", "offset=x", "limit=1&limit=2", "limit=%zz"] {
        let path = format!("/v1/screenings/{}/answers?{query}", "0".repeat(64));
        api.get(Role::Underwriter, &path).assert_problem(400, "malformed");
        let path = format!("/v1/audit/log?{query}");
        all.api("REGULATOR-01").get(Role::Auditor, &path).assert_problem(400, "malformed");
    }
    api.get(Role::Underwriter, "/v1/screenings/zz").assert_problem(404, "not-found");
    // bodies
    for route in LOCAL {
        let (Some(role), Accepts::Json(max) | Accepts::Csv(max)) = (allowed(route), route.accepts) else { continue };
        let (bearer, wanted) = (api.bearer(role), route.accepts.content_type().expect("a content type"));
        let with = |content_type: &str, name: &str, value: &str, body: &[u8]| {
            let headers = [("authorization", bearer.as_str()), ("content-type", content_type), (name, value)];
            api.send("POST", route.path, &headers, body)
        };
        with("application/x-www-form-urlencoded", "x", "y", b"a=b").assert_problem(415, "unsupported-media-type");
        api.send("POST", route.path, &[("authorization", &bearer)], b"{}")
            .assert_problem(415, "unsupported-media-type");
        with(wanted, "content-length", &(max + 1).to_string(), b"").assert_problem(413, "too-large");
        with(wanted, "transfer-encoding", "chunked", b"0\r\n\r\n").assert_problem(411, "length-required");
        let parameter = format!("{wanted}; charset=utf-8");
        let accepted = with(&parameter, "x", "y", b"[]");
        assert!(matches!(accepted.status, 400 | 422), "{accepted:?}");
        if route.idempotent {
            for key in ["", "two words", &"k".repeat(MAX_KEY_BYTES + 1), "k\u{e9}"] {
                with(wanted, "idempotency-key", key, b"{}").assert_problem(400, "malformed");
            }
        }
    }
    for body in ["", "{", "[]", "null", "{\"surprise\":1}", "\u{0}", &"[".repeat(10_000)] {
        api.post(Role::Underwriter, "/v1/checks", None, body.as_bytes()).assert_problem(400, "malformed");
    }
    // roles of the member
    all.api("INST-01")
        .post(Role::Underwriter, "/v1/checks", None, &check_body("13812345678"))
        .assert_problem(422, "refused");
    api.post(Role::Operator, "/v1/publications", None, HEADER.as_bytes()).assert_problem(422, "refused");
    api.get(Role::Auditor, "/v1/audit/log").assert_problem(422, "refused");
    // content
    api.post(Role::Underwriter, "/v1/checks", None, &check_body("12345")).assert_problem(422, "invalid");
    let publisher = all.api("INST-01");
    publisher.post(Role::Operator, "/v1/publications", None, b"no,table\n").assert_problem(422, "invalid");
    publisher
        .post(Role::Operator, "/v1/publications?as_of=2026-02-30", None, HEADER.as_bytes())
        .assert_problem(400, "malformed");
    // the head itself
    api.raw(b"\x16\x03\x01\r\n\r\n").assert_problem(400, "malformed");
    api.raw(b"GET /healthz HTTP/1.1\r\nbad header\r\n\r\n").assert_problem(400, "malformed");
    let long = "x".repeat(Limits::LOCAL.head_bytes);
    api.raw(format!("GET /{long} HTTP/1.1\r\n\r\n").as_bytes()).assert_problem(431, "head-too-large");
    api.raw(format!("GET / HTTP/1.1\r\nx: {long}\r\n\r\n").as_bytes()).assert_problem(431, "head-too-large");
}

#[test]
fn more_connections_or_requests_than_are_served_at_a_time_and_slow_heads_and_bodies_are_refused() {
    let all = three();
    let api = all.api("LENDER-01");
    // requests under way: each waits for its body
    let begun = format!(
        "POST /v1/checks HTTP/1.1\r\nhost: agent\r\nauthorization: {}\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n",
        api.bearer(Role::Underwriter)
    );
    let mut waiting: Vec<TcpStream> = (0..UNDER_WAY).map(|_| api.open()).collect();
    waiting.iter_mut().for_each(|stream| stream.write_all(begun.as_bytes()).expect("the agent reads"));
    std::thread::sleep(Duration::from_millis(500));
    let refused = api.get(Role::Operator, "/v1/members");
    refused.assert_problem(429, "too-many-requests");
    assert_eq!(refused.header("retry-after"), Some("1"));
    std::thread::sleep(Duration::from_secs(1));
    // connections: the rest is taken by heads that are begun
    let mut heads: Vec<TcpStream> = (UNDER_WAY..Limits::LOCAL.connections).map(|_| api.open()).collect();
    heads.iter_mut().for_each(|stream| stream.write_all(b"GET /hea").expect("the agent reads"));
    std::thread::sleep(Duration::from_millis(500));
    let refused = api.send("GET", "/healthz", &[], b"");
    refused.assert_problem(503, "unavailable");
    assert_eq!(refused.json()["reason"], "connections");
    // each is told when its time is over
    let began = Instant::now();
    let slow_head = heads.pop().expect("one is held");
    read(slow_head).assert_problem(408, "request-timeout");
    assert!(began.elapsed() < Limits::LOCAL.head + Duration::from_secs(5));
    let slow_body = waiting.pop().expect("one is held");
    read(slow_body).assert_problem(408, "request-timeout");
    assert!(began.elapsed() < Limits::LOCAL.body + Duration::from_secs(5));
    drop((heads, waiting));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(api.send("GET", "/healthz", &[], b"").status, 200, "and then it serves again");
}

/// A write of one agent, and another of the same kind.
struct Posted {
    agent: &'static str,
    role: Role,
    path: &'static str,
    body: Vec<u8>,
    other: Vec<u8>,
}

#[test]
fn an_idempotency_key_names_one_request_and_one_answer_across_kill_9() {
    let mut all = three();
    let records =
        |amount: u32| format!("{HEADER}mobile,13812345678,,,overdue,2,30,{amount},CNY,2026-06-01,r1\n").into_bytes();
    let write = |agent, role, path, body, other| Posted { agent, role, path, body, other };
    let (check, screening) = (check_body, screening_body);
    let writes = [
        write("LENDER-01", Role::Underwriter, "/v1/checks", check("13812345678"), check("13912345678")),
        write("LENDER-01", Role::Underwriter, "/v1/screenings", screening(1), screening(2)),
        write("INST-01", Role::Operator, "/v1/publications", records(100), records(200)),
    ];
    let mut answers = Vec::new();
    for Posted { agent, role, path, body, other } in &writes {
        let api = all.api(agent);
        let first = api.post(*role, path, Some("key-1"), body);
        assert!(matches!(first.status, 200 | 202), "{path}: {first:?}");
        let again = api.post(*role, path, Some("key-1"), body);
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{path}");
        let reused = api.post(*role, path, Some("key-1"), other);
        reused.assert_problem(409, "conflict");
        assert_eq!(reused.json()["reason"], "key_reused");
        let another = api.post(*role, path, Some("key-2"), other);
        assert!(matches!(another.status, 200 | 202), "{path}: {another:?}");
        assert_ne!(another.body, first.body, "{path}");
        answers.push((first.status, first.body));
    }
    // a key of one address says nothing about another; a request that failed leaves its key free
    let lender = all.api("LENDER-01");
    lender.post(Role::Underwriter, "/v1/checks", Some("key-3"), &check_body("1")).assert_problem(422, "invalid");
    assert_eq!(lender.post(Role::Underwriter, "/v1/checks", Some("key-3"), &check_body("13812345678")).status, 200);
    let publisher = all.api("INST-01");
    publisher.post(Role::Operator, "/v1/publications", Some("key-3"), b"no,table\n").assert_problem(422, "invalid");
    assert_eq!(publisher.post(Role::Operator, "/v1/publications", Some("key-3"), &records(100)).status, 202);
    let dated =
        publisher.post(Role::Operator, &format!("/v1/publications?as_of={AS_OF}"), Some("key-1"), &records(100));
    dated.assert_problem(409, "conflict");

    all.restart("LENDER-01");
    all.restart("INST-01");
    for (Posted { agent, role, path, body, other }, (status, answer)) in writes.iter().zip(&answers) {
        let api = all.api(agent);
        let again = api.post(*role, path, Some("key-1"), body);
        assert_eq!((&again.status, &again.body), (status, answer), "{path} after kill -9");
        api.post(*role, path, Some("key-1"), other).assert_problem(409, "conflict");
    }
}

/// GETs until the work is done.
fn done(api: &Api, role: Role, path: &str) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let status = api.get(role, path).json();
        if status["state"] == "done" {
            return status;
        }
        assert!(Instant::now() < deadline, "{status}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn lists_come_in_pages_that_add_up() {
    let all = three();
    // rejected rows of a publication
    let (publisher, lender, regulator) = (all.api("INST-01"), all.api("LENDER-01"), all.api("REGULATOR-01"));
    let rows: String = (0..5).map(|_| "mobile,1,,,overdue,2,30,100,CNY,2026-06-01,r\n").collect();
    let started = publisher.post(Role::Operator, "/v1/publications", None, format!("{HEADER}{rows}").as_bytes()).json();
    let path = format!("/v1/publications/{}", started["id"].as_str().expect("an id"));
    let status = done(&publisher, Role::Operator, &path);
    assert_eq!((&status["rejected_total"], &status["next"]), (&json!(5), &Value::Null), "{status}");
    let pages = paged(&publisher, Role::Operator, &path, "rejected", 2);
    assert_eq!((pages.len(), &json!(pages.concat())), (3, &status["rejected"]));
    // answers of a screening, asked when the lender has the block of the publication
    let deadline = Instant::now() + Duration::from_secs(60);
    while lender.get(Role::Underwriter, "/v1/chain/status").json()["height"].as_u64() < status["height"].as_u64() {
        assert!(Instant::now() < deadline, "the lender does not follow");
        std::thread::sleep(Duration::from_millis(50));
    }
    let started = lender.post(Role::Underwriter, "/v1/screenings", None, &screening_body(5)).json();
    let path = format!("/v1/screenings/{}", started["id"].as_str().expect("an id"));
    done(&lender, Role::Underwriter, &path);
    let answers = format!("{path}/answers");
    let whole = lender.get(Role::Underwriter, &answers).json();
    for list in ["answers", "unanswered"] {
        let pages = paged(&lender, Role::Underwriter, &answers, list, 2);
        assert_eq!((pages.len(), &json!(pages.concat())), (3, &whole[list]), "{list}");
    }
    // the log, and the requests about one subject
    for _ in 0..3 {
        assert_eq!(lender.post(Role::Underwriter, "/v1/checks", None, &check_body("13812345678")).status, 200);
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    let whole = loop {
        let page = regulator.get(Role::Auditor, "/v1/audit/log?purpose=pre_loan_approval").json();
        if page["matching"].as_u64() >= Some(4) {
            break page;
        }
        assert!(Instant::now() < deadline, "{page}");
        std::thread::sleep(Duration::from_millis(500));
    };
    let path = format!("/v1/audit/log?to={}", whole["to"]);
    let pages = paged(&regulator, Role::Auditor, &path, "entries", 3);
    assert_eq!((pages.len(), &json!(pages.concat())), (2, &whole["entries"]));
    let subject = |offset: usize| {
        let body = json!({ "subject": { "mobile": "13812345678" }, "offset": offset, "limit": 2 });
        regulator.post(Role::Auditor, "/v1/audit/subject", None, body.to_string().as_bytes()).json()
    };
    let (first, second) = (subject(0), subject(2));
    assert_eq!((&first["matching"], &first["next"]), (&json!(3), &json!(2)), "{first}");
    assert_eq!(first["trail"].as_array().map(Vec::len), Some(2));
    assert_eq!((second["trail"].as_array().map(Vec::len), &second["next"]), (Some(1), &Value::Null));
    let body = json!({ "from": 0, "through": whole["to"], "limit": 1 });
    let reconciled = regulator.post(Role::Auditor, "/v1/audit/reconcile", None, body.to_string().as_bytes()).json();
    let total = reconciled["findings_total"].as_u64().expect("a total");
    assert_eq!(reconciled["next"].is_null(), total <= 1, "{reconciled}");
}

/// Every page of a list, `limit` entries of its source each.
fn paged(api: &Api, role: Role, path: &str, list: &str, limit: usize) -> Vec<Vec<Value>> {
    let (mut pages, mut offset) = (Vec::new(), Some(0));
    while let Some(from) = offset {
        let mark = if path.contains('?') { '&' } else { '?' };
        let page = api.get(role, &format!("{path}{mark}limit={limit}&offset={from}")).json();
        pages.push(page[list].as_array().cloned().unwrap_or_else(|| panic!("{page}")));
        offset = page["next"].as_u64();
    }
    pages
}
