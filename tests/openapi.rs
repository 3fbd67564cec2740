//! `specs/openapi.yaml` describes exactly the routes that are served, with their callers, limits and answers; `specs/errors.md`
//! lists exactly the problems that exist.
//!
//! The served routes are `api::LOCAL` and `api::PEERS`: the filters are made of these tables, so nothing else is served.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use participant_agent::api::problem::ProblemKind;
use participant_agent::api::route::{Accepts, Access, MAX_KEY_BYTES, Route};
use participant_agent::api::{LOCAL, PEERS, UNDER_WAY};
use participant_agent::peers::server::Limits;
use riskveil_chain::tx::MAX_TX_BYTES;
use riskveil_exchange::disclose::MAX_DISCLOSURE_REQUEST_LEN;
use riskveil_exchange::policy::Policy;
use riskveil_exchange::query::messages::MAX_REQUEST_LEN;
use serde_json::{Value, json};

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).expect(path)
}

fn specification() -> Value {
    serde_yaml_ng::from_str(&file("specs/openapi.yaml")).expect("specs/openapi.yaml is YAML")
}

fn served() -> impl Iterator<Item = &'static Route> {
    LOCAL.iter().chain(PEERS)
}

fn operation<'a>(specification: &'a Value, route: &Route) -> &'a Value {
    &specification["paths"][route.path][route.method.as_str().to_lowercase()]
}

/// What `$ref` points at, or the value itself.
fn resolved<'a>(specification: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => specification.pointer(reference.trim_start_matches('#')).expect(reference),
        None => value,
    }
}

#[test]
fn every_served_route_is_specified_and_every_specified_one_is_served() {
    let specification = specification();
    let mut specified = BTreeSet::new();
    for (path, item) in specification["paths"].as_object().expect("paths") {
        for method in item.as_object().expect(path).keys() {
            specified.insert((method.to_uppercase(), path.clone()));
        }
    }
    let served: Vec<_> = served().map(|route| (route.method.as_str().to_owned(), route.path.to_owned())).collect();
    let unique: BTreeSet<_> = served.iter().cloned().collect();
    assert_eq!(unique.len(), served.len(), "a route stands twice in the table");
    assert_eq!(unique, specified);
    let ids: BTreeSet<_> = specification["paths"]
        .as_object()
        .into_iter()
        .flat_map(|paths| paths.values())
        .flat_map(|item| item.as_object().into_iter().flat_map(|methods| methods.values()))
        .map(|operation| operation["operationId"].as_str().expect("operationId"))
        .collect();
    assert_eq!(ids.len(), unique.len(), "an operationId stands twice");
}

#[test]
fn callers_parameters_limits_and_times_are_those_of_the_table() {
    let specification = specification();
    for route in served() {
        let operation = operation(&specification, route);
        let path = route.path;
        assert_eq!(operation["x-within-s"], json!(route.within.as_secs()), "{path}");
        let roles: BTreeSet<&str> =
            operation["x-roles"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        match route.access {
            Access::Token(allowed) => {
                assert_eq!(roles, allowed.iter().map(|role| role.word()).collect(), "{path}");
                assert!(operation["security"].is_null(), "{path}");
            }
            Access::Open => assert_eq!((roles.len(), &operation["security"]), (0, &json!([])), "{path}"),
            Access::Member => {
                assert_eq!((roles.len(), &operation["security"]), (0, &json!([{ "member": [] }])), "{path}");
            }
        }
        let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
        let mut named: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for parameter in &parameters {
            let parameter = resolved(&specification, parameter);
            let text = |field: &str| parameter[field].as_str().expect(field).to_owned();
            named.entry(text("in")).or_default().push(text("name"));
        }
        let of = |place: &str| named.get(place).cloned().unwrap_or_default();
        assert_eq!(of("query"), route.query, "{path}");
        let keys = if route.idempotent { vec!["Idempotency-Key".to_owned()] } else { Vec::new() };
        assert_eq!(of("header"), keys, "{path}");
        let segments = path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'));
        assert_eq!(of("path"), segments.collect::<Vec<_>>(), "{path}");
        let max = match route.accepts {
            Accepts::Nothing => None,
            Accepts::Json(max) | Accepts::Csv(max) => Some(max),
            Accepts::Message(_) if path.ends_with("/evaluate") => Some(MAX_REQUEST_LEN as u64),
            Accepts::Message(_) if path.ends_with("/disclose") => Some(MAX_DISCLOSURE_REQUEST_LEN as u64),
            Accepts::Message(_) => Some(Policy::default().max_block_bytes + MAX_TX_BYTES as u64),
        };
        assert_eq!(operation["x-max-body-bytes"].as_u64(), max, "{path}");
        let content = operation["requestBody"]["content"].as_object();
        assert_eq!(content.is_some(), !matches!(route.accepts, Accepts::Nothing), "{path}");
        if let Some(wanted) = route.accepts.content_type() {
            assert!(content.is_some_and(|content| content.len() == 1 && content.contains_key(wanted)), "{path}");
        }
    }
}

#[test]
fn every_answer_that_a_route_can_give_by_itself_is_specified_as_the_problem_it_is() {
    let specification = specification();
    for route in served() {
        let responses = operation(&specification, route)["responses"].as_object().expect("responses");
        let mut wanted = vec![400, 429, 431, 500, 503];
        match route.access {
            Access::Token(_) => wanted.extend([401, 403]),
            Access::Member => wanted.push(401),
            Access::Open => {}
        }
        if !matches!(route.accepts, Accepts::Nothing) {
            wanted.extend([408, 411, 413]);
        }
        if route.accepts.content_type().is_some() {
            wanted.push(415);
        }
        if route.idempotent {
            wanted.push(409);
        }
        if route.path.contains("{") {
            wanted.push(404);
        }
        for status in wanted {
            assert!(responses.contains_key(&status.to_string()), "{}: {status}", route.path);
        }
        for (status, response) in responses {
            let status: u16 = status.parse().expect("a status, no range and no default");
            if status < 400 {
                continue;
            }
            let response = resolved(&specification, response);
            let kinds = ProblemKind::ALL.iter().filter(|kind| kind.status().as_u16() == status);
            let words: Vec<&str> = kinds.map(|kind| kind.word()).collect();
            assert!(!words.is_empty(), "{}: no problem has status {status}", route.path);
            let description = response["description"].as_str().expect("description");
            assert!(words.iter().all(|word| description.contains(&format!("`{word}`"))), "{status}: {description}");
            let content: Vec<_> = response["content"].as_object().expect("content").keys().collect();
            assert_eq!(content, ["application/problem+json"], "{} {status}", route.path);
        }
    }
}

#[test]
fn limits_of_connections_and_requests_are_those_of_the_server() {
    let limits = Limits::LOCAL;
    let specified = &specification()["x-limits"];
    let expected = json!({
        "connections": limits.connections,
        "requests-under-way": UNDER_WAY,
        "head-s": limits.head.as_secs(),
        "head-bytes": limits.head_bytes,
        "head-fields": 100,
        "body-s": limits.body.as_secs(),
        "body-bytes": limits.body_bytes,
        "write-s": limits.write.as_secs(),
    });
    assert_eq!(specified, &expected);
    let key = &specification()["components"]["parameters"]["IdempotencyKey"]["schema"]["maxLength"];
    assert_eq!(key, &json!(MAX_KEY_BYTES));
}

#[test]
fn the_registry_of_problems_lists_exactly_those_that_exist() {
    let registry = file("specs/errors.md");
    let section =
        registry.split("## Problems").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("## Problems");
    let rows: BTreeSet<(String, u16)> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .map(|row| {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            (cells[0].trim_end_matches('`').to_owned(), cells[1].parse().expect("a status"))
        })
        .collect();
    let kinds: BTreeSet<(String, u16)> =
        ProblemKind::ALL.iter().map(|kind| (kind.word().to_owned(), kind.status().as_u16())).collect();
    assert_eq!(rows, kinds);
}

#[test]
fn every_reason_that_a_problem_names_stands_in_the_registry() {
    let registry = file("specs/errors.md");
    let api = Path::new(env!("CARGO_MANIFEST_DIR")).join("../participant-agent/src");
    let mut found = 0;
    for folder in ["api", "peers"] {
        for entry in fs::read_dir(api.join(folder)).expect("a folder").flatten() {
            let code = fs::read_to_string(entry.path()).expect("source");
            for literal in code.split(".reason(\"").skip(1) {
                let word = literal.split('"').next().unwrap_or("");
                assert!(registry.contains(&format!("`{word}`")), "{word} of {} has no row", entry.path().display());
                found += 1;
            }
        }
    }
    assert!(found >= 10, "only {found} reasons were found");
}
