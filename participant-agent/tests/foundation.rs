//! The peer channel end to end on loopback: who gets in, who is cut off, and that connections are kept.

#![allow(clippy::unwrap_used, reason = "a test stops at what should not be")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use participant_agent::api::problem;
use participant_agent::peers::client::{PeerClient, PeerError};
use participant_agent::peers::directory::Directory;
use participant_agent::peers::server::{self, Limits, serve_local, serve_peers};
use participant_agent::peers::tls::TlsIdentity;
use rand::rngs::OsRng;
use riskveil_crypto::{SecretBytes, SigningKey};
use riskveil_exchange::ids::MemberId;
use riskveil_exchange::member::{Member, Roles};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use warp::{Filter, Reply};

const SECOND: Duration = Duration::from_secs(1);
const LIMITS: Limits = Limits {
    connections: 8,
    refusals: 2,
    handshake: Duration::from_millis(300),
    head: Duration::from_millis(300),
    head_bytes: 16 << 10,
    body: Duration::from_millis(300),
    write: Duration::from_millis(300),
    body_bytes: 1 << 20,
};

fn identity() -> TlsIdentity {
    TlsIdentity::from_seed(&SecretBytes::random(&mut OsRng)).unwrap()
}

fn member(name: &str, identity: &TlsIdentity, address: SocketAddr) -> Member {
    let key = || SigningKey::generate(&mut OsRng).verifying_key();
    Member {
        id: MemberId::new(name).unwrap(),
        roles: Roles::default(),
        identity_key: key(),
        tls_key: identity.public(),
        engine_key: key(),
        peer_address: address.to_string(),
        engine_address: "127.0.0.1:1".into(),
    }
}

fn id(name: &str) -> MemberId {
    MemberId::new(name).unwrap()
}

/// Answers with the asking member's name and the length of what it sent.
fn routes() -> server::Routes {
    let echo = warp::path!("peer" / "v1" / "echo")
        .and(warp::post())
        .and(server::peer())
        .and(warp::body::content_length_limit(1000))
        .and(warp::body::bytes())
        .map(|member: MemberId, body: bytes::Bytes| format!("{member} {}", body.len()).into_response());
    let large = warp::path!("large").and(warp::get()).map(|| vec![7_u8; 64 << 20].into_response());
    problem::routes(echo.or(large).unify())
}

struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

async fn peers(server: &TlsIdentity, allowed: &[(&str, &TlsIdentity)]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let directory = Arc::new(Directory::new(allowed.iter().map(|(name, key)| member(name, key, address))));
    let tls = server.server_config(directory.clone()).unwrap();
    let (stop, stopping) = watch::channel(false);
    let task = tokio::spawn(serve_peers(listener, tls, directory, routes(), LIMITS, stopping));
    Server { address, stop, task }
}

async fn local() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopping) = watch::channel(false);
    let task = tokio::spawn(serve_local(listener, routes(), LIMITS, stopping));
    Server { address, stop, task }
}

async fn post(client: &PeerClient, to: &str, body: Vec<u8>) -> Result<String, PeerError> {
    let answer = client.post(&id(to), "/peer/v1/echo", "application/octet-stream", body, SECOND).await?;
    Ok(String::from_utf8(answer.to_vec()).unwrap())
}

#[tokio::test]
async fn a_member_is_identified_by_its_key_and_its_connection_is_kept() {
    let (publisher, lender) = (identity(), identity());
    let server = peers(&publisher, &[("LENDER-01", &lender)]).await;
    let directory = Directory::new([member("INST-01", &publisher, server.address)]);
    let client = PeerClient::new(&lender, &directory).unwrap();
    for _ in 0..20 {
        assert_eq!(post(&client, "INST-01", vec![1; 700]).await.unwrap(), "LENDER-01 700");
    }
    let traffic = client.traffic(&id("INST-01"));
    assert_eq!((traffic.answered, traffic.body_bytes_out), (20, 14_000));
    // A second handshake would show: one costs more than 600 bytes out, a request about 150 around its body.
    assert!(traffic.wire_bytes_out < 14_000 + 20 * 200 + 800, "{traffic:?}");
    let started = Instant::now();
    for _ in 0..200 {
        post(&client, "INST-01", vec![1; 700]).await.unwrap();
    }
    println!("200 requests on one connection: {:?} each", started.elapsed() / 200);
}

#[tokio::test]
async fn a_client_that_is_no_member_is_refused() {
    let (publisher, lender, stranger) = (identity(), identity(), identity());
    let server = peers(&publisher, &[("LENDER-01", &lender)]).await;
    let directory = Directory::new([member("INST-01", &publisher, server.address)]);
    let client = PeerClient::new(&stranger, &directory).unwrap();
    let error = post(&client, "INST-01", vec![1]).await.unwrap_err();
    assert_eq!(error, PeerError::Handshake);
}

#[tokio::test]
async fn a_server_with_another_key_is_refused_before_anything_is_sent() {
    let (publisher, lender, other) = (identity(), identity(), identity());
    let server = peers(&other, &[("LENDER-01", &lender)]).await;
    let directory = Directory::new([member("INST-01", &publisher, server.address)]);
    let client = PeerClient::new(&lender, &directory).unwrap();
    assert_eq!(post(&client, "INST-01", vec![1]).await.unwrap_err(), PeerError::Handshake);
    assert_eq!(client.traffic(&id("INST-01")).answered, 0);
}

#[tokio::test]
async fn an_unknown_an_unreachable_and_a_silent_member_are_told_apart() {
    let (publisher, silent) = (identity(), TcpListener::bind("127.0.0.1:0").await.unwrap());
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let directory = Directory::new([
        member("INST-01", &publisher, closed),
        member("INST-02", &publisher, silent.local_addr().unwrap()),
    ]);
    let client = PeerClient::new(&identity(), &directory).unwrap();
    assert_eq!(post(&client, "INST-03", vec![]).await.unwrap_err(), PeerError::Unknown);
    assert_eq!(post(&client, "INST-01", vec![]).await.unwrap_err(), PeerError::Unreachable);
    assert_eq!(post(&client, "INST-02", vec![]).await.unwrap_err(), PeerError::Timeout);
}

#[tokio::test]
async fn a_body_over_the_limit_gets_413_and_another_address_404() {
    let (publisher, lender) = (identity(), identity());
    let server = peers(&publisher, &[("LENDER-01", &lender)]).await;
    let directory = Directory::new([member("INST-01", &publisher, server.address)]);
    let client = PeerClient::new(&lender, &directory).unwrap();
    assert_eq!(post(&client, "INST-01", vec![1; 1001]).await.unwrap_err(), PeerError::Status(413));
    let nothing = client.post(&id("INST-01"), "/nothing", "text/plain", vec![], SECOND).await;
    assert_eq!(nothing.unwrap_err(), PeerError::Status(404));
    assert_eq!(post(&client, "INST-01", vec![1]).await.unwrap(), "LENDER-01 1");
}

#[tokio::test]
async fn a_restarted_server_is_found_again() {
    let (publisher, lender) = (identity(), identity());
    let server = peers(&publisher, &[("LENDER-01", &lender)]).await;
    let directory = Directory::new([member("INST-01", &publisher, server.address)]);
    let client = PeerClient::new(&lender, &directory).unwrap();
    post(&client, "INST-01", vec![1]).await.unwrap();
    server.stop.send_replace(true);
    tokio::time::timeout(SECOND, server.task).await.expect("an idle connection does not hold up the stop").unwrap();
    assert_eq!(post(&client, "INST-01", vec![1]).await.unwrap_err(), PeerError::Unreachable);
    let listener = TcpListener::bind(server.address).await.unwrap();
    let directory = Arc::new(Directory::new([member("LENDER-01", &lender, server.address)]));
    let tls = publisher.server_config(directory.clone()).unwrap();
    let (_stop, stopping) = watch::channel(false);
    tokio::spawn(serve_peers(listener, tls, directory, routes(), LIMITS, stopping));
    assert_eq!(post(&client, "INST-01", vec![1]).await.unwrap(), "LENDER-01 1");
}

/// Writes `parts`, 100 ms apart, and returns what comes back until the other side hangs up.
async fn slowly(address: SocketAddr, parts: &[&[u8]]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    for part in parts {
        if stream.write_all(part).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut answer = Vec::new();
    let read = tokio::time::timeout(3 * SECOND, stream.read_to_end(&mut answer)).await;
    read.expect("the server hangs up on a slow client").ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn clients_that_dawdle_with_the_handshake_the_head_or_the_body_are_cut_off() {
    let publisher = identity();
    let tls = peers(&publisher, &[]).await;
    assert_eq!(slowly(tls.address, &[]).await, "");
    let server = local().await;
    let begun = slowly(server.address, &[b"POST /peer/v1/echo HTTP/1.1\r\nHo"]).await;
    assert!(begun.starts_with("HTTP/1.1 408") && begun.contains("urn:riskveil:problem:request-timeout"), "{begun}");
    assert_eq!(slowly(server.address, &[]).await, "", "an idle connection ends without a word");
    let head: &[u8] = b"POST /large HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n";
    assert!(slowly(server.address, &[head, b"a", b"b", b"c", b"d", b"e"]).await.contains("405"));
}

#[tokio::test]
async fn a_body_that_takes_too_long_gets_408_and_the_connection_ends() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let upload = warp::post().and(warp::body::bytes()).map(|body: bytes::Bytes| format!("{}", body.len()));
    let (_stop, stopping) = watch::channel(false);
    tokio::spawn(serve_local(listener, problem::routes(upload), LIMITS, stopping));
    let head: &[u8] = b"POST /x HTTP/1.1\r\nhost: x\r\ncontent-length: 900\r\n\r\n";
    let answer = slowly(address, &[head, b"a", b"b", b"c", b"d", b"e"]).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("urn:riskveil:problem:request-timeout"), "{answer}");
    let chunk = format!("{:x}\r\n{}\r\n", 70 << 10, "z".repeat(70 << 10));
    let mut parts: Vec<&[u8]> = vec![b"POST /x HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"];
    let together = chunk.repeat(16);
    parts.push(together.as_bytes());
    let answer = slowly(address, &parts).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}

#[tokio::test]
async fn heads_that_are_none_or_too_large_and_connections_above_the_limit_get_a_problem_document() {
    let server = local().await;
    let no_http = slowly(server.address, &[b"\x16\x03\x01\x02\x00\x01\r\n\r\n"]).await;
    assert!(no_http.starts_with("HTTP/1.1 400") && no_http.contains("application/problem+json"), "{no_http}");
    let field = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(LIMITS.head_bytes));
    let large = slowly(server.address, &[field.as_bytes()]).await;
    assert!(large.starts_with("HTTP/1.1 431") && large.contains("urn:riskveil:problem:head-too-large"), "{large}");
    let fields = format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "a: b\r\n".repeat(200));
    assert!(slowly(server.address, &[fields.as_bytes()]).await.starts_with("HTTP/1.1 431"));

    let mut held = Vec::new();
    for _ in 0..LIMITS.connections {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(b"GET /").await.unwrap();
        held.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let refused = slowly(server.address, &[b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"]).await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("\"reason\":\"connections\""), "{refused}");
    drop(held);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(slowly(server.address, &[b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"]).await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_cut_off() {
    let server = local().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /large HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    tokio::time::sleep(SECOND).await;
    let mut taken = 0;
    let mut buffer = vec![0; 1 << 20];
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        taken += read;
    }
    assert!(taken < 64 << 20, "{taken} bytes");
}

mod commands {
    //! The binary as people call it: one sentence and the documented exit code for each thing that goes wrong.

    use std::net::TcpListener;
    use std::path::Path;
    use std::process::Command;

    /// Runs the binary; returns exit code, standard output and standard error.
    fn run(dir: &Path, line: &str) -> (i32, String, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_participant-agent"))
            .args(line.split_whitespace())
            .current_dir(dir)
            .env("RISKVEIL_PASSPHRASE_FILE", dir.join("passphrase"))
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    fn refused(dir: &Path, line: &str, exit: i32, sentence: &str) {
        let (code, _, error) = run(dir, line);
        assert!(code == exit && error.contains(sentence), "{line}: exit {code}, {error}");
        assert!(error.trim_end().lines().count() == 1 || exit == 2, "{error}");
    }

    /// A directory `a` with a lender, `r` with the regulator, `v` with the validator, and the genesis in `a`.
    fn consortium(dir: &Path) {
        for line in [
            "init member --dir a --id LENDER-01 --roles lender --base-port 0",
            "init member --dir v --id INST-01 --roles publisher,validator --base-port 0",
            "init member --dir r --id REGULATOR-01 --roles regulator --base-port 0 --network test",
            "init genesis --network test --out a/genesis.toml a/member.toml v/member.toml r/member.toml",
        ] {
            let (code, _, error) = run(dir, line);
            assert_eq!(code, 0, "{line}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_is_one_sentence_with_its_exit_code() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        consortium(dir);
        let (code, out, _) = run(dir, "keys check --dir a --json");
        assert_eq!((code, out.contains("\"ok\":true")), (0, true), "{out}");

        refused(dir, "run --dir nowhere", 2, "agent.toml: there is no such file; make it with");
        refused(dir, "run --dir v", 2, "genesis.toml is missing");
        refused(dir, "init member --dir a --id LENDER-01 --roles lender --base-port 0", 2, "exists already");
        refused(dir, "init member --dir x --id R --roles regulator --base-port 0", 2, "give --network NAME");
        refused(dir, "publish a/agent.toml --dir a", 3, "no agent answers at 127.0.0.1:");
        refused(dir, "doctor --dir a --offline --bogus --json", 2, "{\"error\":\"unexpected argument '--bogus'");

        let config = std::fs::read_to_string(dir.join("a/agent.toml")).unwrap();
        std::fs::write(dir.join("a/agent.toml"), format!("{config}log_levle = \"info\"\n")).unwrap();
        refused(dir, "config check --dir a", 2, "did you mean `log_level`?");
        std::fs::write(dir.join("a/agent.toml"), &config).unwrap();

        let api = participant_agent::config::load(&dir.join("a")).unwrap().api_listen;
        let held = TcpListener::bind(api).unwrap();
        refused(dir, "run --dir a", 6, "is already in use; stop its owner or change api_listen in agent.toml");
        let (code, out, _) = run(dir, "doctor --dir a --offline --json");
        assert_eq!((code, out.contains("is already in use")), (1, true), "{out}");
        drop(held);
        let (code, out, _) = run(dir, "doctor --dir a --offline");
        assert_eq!((code, out.contains("failed")), (0, false), "{out}");

        std::fs::remove_file(dir.join("a/keys/kek")).unwrap();
        refused(dir, "run --dir a", 7, "keys/kek is missing; restore keys/ from a backup");
    }

    #[test]
    fn a_wrong_passphrase_is_one_sentence_and_exit_code_7() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path();
        std::fs::write(dir.join("passphrase"), "correct horse\n").unwrap();
        let line = "init member --dir p --id INST-02 --roles publisher --base-port 0 --passphrase";
        assert_eq!(run(dir, line).0, 0);
        assert_eq!(run(dir, "keys show --dir p").0, 0);
        std::fs::write(dir.join("passphrase"), "battery staple\n").unwrap();
        refused(dir, "keys show --dir p", 7, "error: the passphrase is wrong");
        std::fs::remove_file(dir.join("passphrase")).unwrap();
        refused(dir, "keys show --dir p", 6, "passphrase: No such file");
        assert!(!dir.join("p/keys/kek").exists());
    }
}
