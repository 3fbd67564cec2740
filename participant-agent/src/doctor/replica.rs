//! The replica: how old and high its tip is, whether this member's key, snapshot, proofs and logs stand there, and the others'.
//!
//! - **Shapes**: [`ReplicaFacts`] is what `GET /v1/doctor` answers; a stopped agent's are read from its state
//! - **Invariants**: facts are of one finalized block; times are header times, so a clock that is wrong does not blame others
//! - **Source**: DESIGN.md sections 3 ("Keys of a period") and 4 ("Request, response, log"); specs/ledger.md

use riskveil_chain::genesis::Genesis;
use riskveil_chain::state::view::{FinalizedView, StateRead};
use riskveil_crypto::Digest32;
use riskveil_crypto::group::Element;
use riskveil_exchange::audit::LogKind;
use riskveil_exchange::ids::{AuditKeyId, Height, MemberId, Period, Window};
use serde::{Deserialize, Serialize};

use super::peers::{self, Seen};
use super::{Finding, Text};
use crate::keystore::Keystore;

/// What one finalized block says about everybody's duties.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaFacts {
    /// The finalized height.
    pub height: Height,
    /// Its header.
    pub header_digest: Digest32,
    /// The header's time, Unix s.
    pub header_time_s: u64,
    /// The period at that time.
    pub period: Period,
    /// The header's time of block 1, if it is known here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_block_time_s: Option<u64>,
    /// Every publisher, this member among them if it is one.
    pub publishers: Vec<PublisherFacts>,
    /// Every log that is owed.
    pub logs: Vec<LogFacts>,
    /// This member's own publication, while its agent runs and publishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publication: Option<PublicationFacts>,
    /// Range proofs of commitments that this member has not verified, while its agent runs and counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range_proofs: Option<RangeProofFacts>,
}

/// A publisher in the current period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublisherFacts {
    /// Who.
    pub member: MemberId,
    /// Its key, once announced.
    pub key: Option<KeyFacts>,
}

/// A publisher's key of the current period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFacts {
    /// The key.
    pub k: Element,
    /// Its number in the period.
    pub key_serial: u32,
    /// Batches of rows under it.
    pub batch_count: u32,
    /// Whether its snapshot is sealed.
    pub sealed: bool,
    /// Whether it was revoked.
    pub revoked: bool,
    /// Live audit keys that it is not bound to.
    pub unbound: Vec<AuditKeyId>,
}

/// The last window of one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogFacts {
    /// Whose.
    pub member: MemberId,
    /// Which of the two: `queries` or `receipts`.
    pub log: String,
    /// The last window on chain.
    pub last_window: Option<Window>,
}

/// What this member has to publish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicationFacts {
    /// Whether it ever published.
    pub any: bool,
    /// Why it is not going on, if it is not.
    pub waiting_for: Option<String>,
}

/// Batches of commitments by what this member knows of their range proofs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RangeProofFacts {
    /// Own batches whose proofs are still to be made.
    pub to_prove: u64,
    /// Batches that this member has not verified yet.
    pub unproved: u64,
    /// Batches that it has verified.
    pub proved: u64,
    /// Publishers of batches whose proofs do not verify.
    pub invalid: Vec<MemberId>,
}

/// What a finalized block says; what only a running agent knows is left out.
#[must_use]
pub fn facts(genesis: &Genesis, view: &FinalizedView) -> ReplicaFacts {
    let period = view.period(genesis);
    let live = view.audit_keys_live_at(view.time_s());
    let publishers = genesis.members.iter().filter(|member| member.roles.publisher).map(|member| {
        let key = view.period_key(period, &member.id).map(|key| {
            let unbound = live.iter().map(|audit| audit.audit_key_id);
            let unbound = unbound.filter(|id| view.binding(period, &member.id, *id).is_none()).collect();
            let (sealed, revoked) = (key.sealed.is_some(), key.revoked);
            KeyFacts { k: key.k, key_serial: key.key_serial, batch_count: key.batch_count, sealed, revoked, unbound }
        });
        PublisherFacts { member: member.id.clone(), key }
    });
    let log = |kind, member: &MemberId, name: &str| LogFacts {
        member: member.clone(),
        log: name.to_owned(),
        last_window: view.last_window(kind, member),
    };
    let logs = genesis.members.iter().flat_map(|member| {
        let queries = member.roles.lender.then(|| log(LogKind::Queries, &member.id, "queries"));
        let receipts = member.roles.publisher.then(|| log(LogKind::Receipts, &member.id, "receipts"));
        queries.into_iter().chain(receipts)
    });
    ReplicaFacts {
        height: view.height(),
        header_digest: view.digest,
        header_time_s: view.time_s(),
        period,
        first_block_time_s: None,
        publishers: publishers.collect(),
        logs: logs.collect(),
        publication: None,
        range_proofs: None,
    }
}

/// The tip against the clock and the members' tips.
#[must_use]
pub fn judge_tip(genesis: &Genesis, facts: &ReplicaFacts, running: bool, now_s: u64, seen: &[Seen]) -> Vec<Finding> {
    let (height, fresh_s) = (facts.height, genesis.policy.fresh_tip_s);
    let age_s = now_s.saturating_sub(facts.header_time_s);
    let mut findings = Vec::new();
    let median = peers::median_tip(seen);
    let others = median.map_or_else(String::new, |tip| format!(", half of the members are at {}", tip.height));
    let chinese = median.map_or_else(String::new, |tip| format!(", 半数成员已到 {}", tip.height));
    let detail = Text::new(
        format!("height {height}, {age_s} s old{others}"),
        format!("高度 {height}, 距今 {age_s} 秒{chinese}"),
    );
    let behind_s = median.map_or(0, |tip| tip.header_time_s.saturating_sub(facts.header_time_s));
    let catch_up = Text::new(
        "it is catching up or has lost the network: see `ports` and `peer`, then the agent's log",
        "正在追赶或网络中断: 先看 ports 与 peer 两项, 再看日志",
    );
    findings.push(if !running {
        let detail = Text::new(
            format!("height {height} when the agent stopped{others}; it catches up when it runs"),
            format!("停止时高度 {height}{chinese}; 运行后自动追赶"),
        );
        Finding::ok("replica", detail)
    } else if behind_s > fresh_s {
        Finding::failed("replica", detail, catch_up)
    } else if age_s > fresh_s {
        Finding::failed(
            "replica",
            detail,
            Text::new(
                format!("nobody has a newer block: the chain stands still (answers count up to {fresh_s} s); see `validators` and `clock`"),
                format!("没有更新的区块: 链已停止 (答复最多容许 {fresh_s} 秒); 请看 validators 与 clock"),
            ),
        )
    } else if behind_s > fresh_s / 2 || age_s > fresh_s / 2 {
        Finding::warning("replica", detail, catch_up)
    } else {
        Finding::ok("replica", detail)
    });
    for member in peers::forked(seen, height, &facts.header_digest) {
        findings.push(Finding::failed(
            "replica",
            Text::new(
                format!("{member} has another block at height {height}"),
                format!("{member} 在高度 {height} 的区块与本机不同"),
            ),
            Text::new(
                "stop asking and answering, keep both agents' chain/ folders, and tell every operator: two finalized blocks at one height mean that more than a third of the validators cheat, or a machine is broken",
                "停止查询与应答, 保留双方 chain/ 目录并通知所有运维: 同一高度出现两个最终区块意味着超过三分之一的验证节点作弊或机器故障",
            ),
        ));
    }
    findings
}

/// This publisher's key of the period: announced, not revoked, held here, bound to every live audit key.
#[must_use]
pub fn judge_period_key(facts: &ReplicaFacts, own: &MemberId, keystore: &Keystore) -> Option<Finding> {
    let own = facts.publishers.iter().find(|publisher| publisher.member == *own)?;
    let period = facts.period;
    let failed = |en: String, zh: String, to_do: Text| Some(Finding::failed("period_key", Text::new(en, zh), to_do));
    let Some(key) = &own.key else {
        return Some(Finding::warning(
            "period_key",
            Text::new(format!("no key announced in period {period} yet"), format!("周期 {period} 尚未公布密钥")),
            Text::new(
                "a running agent announces it within seconds of the first block; if not, see `validators` and the log",
                "服务运行后数秒内会自动公布; 否则请看 validators 与日志",
            ),
        ));
    };
    if key.revoked {
        return failed(
            format!("the key of period {period} is revoked"),
            format!("周期 {period} 的密钥已吊销"),
            Text::new("nothing is answered until a new key is announced", "公布新密钥前不会应答"),
        );
    }
    let held = keystore.period_key(period, key.key_serial);
    if !matches!(&held, Ok(Some(held)) if held.public_key() == key.k) {
        let why = held.err().map(|error| format!(" ({error})")).unwrap_or_default();
        return failed(
            format!("the chain has a key of period {period} whose secret is not in keys/periods{why}"),
            format!("链上周期 {period} 密钥的私钥不在 keys/periods 中{why}"),
            Text::new(
                "put the file back from the machine that announced it; without it this member answers nobody until the next period",
                "从公布该密钥的机器找回文件; 否则下一周期前无法应答",
            ),
        );
    }
    if let Some(audit_key) = key.unbound.first() {
        return failed(
            format!("the key of period {period} is not bound to audit key {audit_key}: lenders are not answered"),
            format!("周期 {period} 的密钥未绑定审计密钥 {audit_key}: 不会应答查询"),
            Text::new(
                "a running agent binds it by itself; if it does not, read its log",
                "运行中的服务会自动绑定; 否则请看日志",
            ),
        );
    }
    Some(Finding::ok(
        "period_key",
        Text::new(
            format!("live in period {period}, held here, bound to the audit key"),
            format!("周期 {period} 有效, 私钥在本机, 已绑定审计密钥"),
        ),
    ))
}

/// Snapshots: this publisher's, and the others'.
#[must_use]
pub fn judge_snapshots(facts: &ReplicaFacts, own: &MemberId) -> Vec<Finding> {
    let unsealed = |one: &&PublisherFacts| !one.key.as_ref().is_some_and(|key| key.sealed && !key.revoked);
    let mut findings = Vec::new();
    if let Some(this) = facts.publishers.iter().find(|one| one.member == *own) {
        findings.push(match (unsealed(&this), &facts.publication) {
            (false, _) => Finding::ok("snapshot", Text::new("sealed in this period", "本周期已封存")),
            (true, Some(PublicationFacts { any: false, .. })) => Finding::warning(
                "snapshot",
                Text::new(
                    "nothing was published yet: lenders read this institution as unavailable(no_snapshot)",
                    "尚未发布任何记录: 查询方看到 unavailable(no_snapshot)",
                ),
                Text::new("run `participant-agent publish FILE`", "执行 `participant-agent publish 文件`"),
            ),
            (true, publication) => {
                let waiting = publication.as_ref().and_then(|publication| publication.waiting_for.clone());
                let why = waiting.map(|reason| format!(": {reason}")).unwrap_or_default();
                Finding::failed(
                    "snapshot",
                    Text::new(
                        format!("not sealed in period {}{why}; nobody gets an answer from here", facts.period),
                        format!("周期 {} 的快照未封存{why}; 无法应答查询", facts.period),
                    ),
                    Text::new(
                        "start the agent and let it publish (`publish` again shows how far it is); if it does not get on, see `validators`",
                        "启动服务并等待发布完成 (再次执行 `publish` 可查看进度); 若无进展, 请看 validators",
                    ),
                )
            }
        });
    }
    let others: Vec<&str> = facts
        .publishers
        .iter()
        .filter(|one| one.member != *own)
        .filter(unsealed)
        .map(|one| one.member.as_str())
        .collect();
    findings.push(if others.is_empty() {
        Finding::ok("snapshots", Text::new("every other publisher's is sealed", "其他机构均已封存"))
    } else {
        let names = others.join(", ");
        Finding::warning(
            "snapshots",
            Text::new(
                format!("not sealed in period {}: {names}; they read as unavailable(no_snapshot)", facts.period),
                format!("周期 {} 未封存: {names}; 查询显示 unavailable(no_snapshot)", facts.period),
            ),
            Text::new("they have published nothing, or their operators should look", "对方尚未发布, 或请其运维检查"),
        )
    });
    findings
}

/// Range proofs that wait, and publishers whose proofs are false.
#[must_use]
pub fn judge_range_proofs(facts: &ReplicaFacts) -> Option<Finding> {
    let proofs = facts.range_proofs.as_ref()?;
    let RangeProofFacts { to_prove, unproved, proved, invalid } = proofs;
    if !invalid.is_empty() {
        let names: Vec<&str> = invalid.iter().map(MemberId::as_str).collect();
        let names = names.join(", ");
        return Some(Finding::failed(
            "range_proofs",
            Text::new(
                format!("published commitments whose range proofs do not verify: {names}"),
                format!("以下机构的承诺范围证明无效: {names}"),
            ),
            Text::new(
                "do not rely on disclosures of these publishers; tell the regulator, the proof is on the chain",
                "不要采信其披露; 请通知监管方, 证据已在链上",
            ),
        ));
    }
    let detail = Text::new(
        format!("{to_prove} own batches to prove, {unproved} batches to verify, {proved} verified"),
        format!("待证明 {to_prove} 批, 待验证 {unproved} 批, 已验证 {proved} 批"),
    );
    Some(if to_prove + unproved == 0 {
        Finding::ok("range_proofs", detail)
    } else {
        Finding::warning(
            "range_proofs",
            detail,
            Text::new(
                "checks do not wait for it; it works in the background at low priority. If the number does not fall, give the machine more cores",
                "不影响查询; 后台低优先级进行。若数量不下降, 请增加处理器核心",
            ),
        )
    })
}

/// Log windows that are missing on chain: this member's, and the others'.
#[must_use]
pub fn judge_logs(genesis: &Genesis, facts: &ReplicaFacts, own: &MemberId) -> Vec<Finding> {
    let policy = &genesis.policy;
    let start_s = facts.first_block_time_s.unwrap_or(facts.header_time_s).max(genesis.genesis_time_s);
    let open = policy.window_at(genesis.genesis_time_s, facts.header_time_s);
    let first = policy.window_at(genesis.genesis_time_s, start_s);
    let missing = |log: &LogFacts| open.0.saturating_sub(log.last_window.map_or(first.0, |last| last.0 + 1));
    let due = policy.leaf_due_windows;
    let mut findings = Vec::new();
    let (mine, others): (Vec<&LogFacts>, Vec<&LogFacts>) = facts.logs.iter().partition(|log| log.member == *own);
    for log in mine {
        let windows = missing(log);
        let detail = Text::new(
            format!("{}: {windows} closed windows not on chain, due within {due}", log.log),
            format!("{}: {windows} 个已结束窗口未上链, 期限 {due} 个", log.log),
        );
        let to_do = Text::new(
            format!(
                "the agent logs by itself while it runs and the chain moves; after {} windows responders refuse this lender's queries, and the regulator finds `missing_window`",
                policy.refuse_after_windows
            ),
            format!(
                "服务运行且链前进时会自动上链; 超过 {} 个窗口后其他机构将拒绝查询, 监管方会发现 missing_window",
                policy.refuse_after_windows
            ),
        );
        findings.push(if windows > due {
            Finding::failed("logs", detail, to_do)
        } else if windows > 3.min(due) {
            Finding::warning("logs", detail, to_do)
        } else {
            Finding::ok("logs", detail)
        });
    }
    let late: Vec<String> = others
        .iter()
        .filter(|log| missing(log) > due)
        .map(|log| format!("{} {} ({} windows)", log.member, log.log, missing(log)))
        .collect();
    findings.push(if late.is_empty() {
        Finding::ok("others_logs", Text::new("every other member logs in time", "其他成员日志均按时上链"))
    } else {
        let names = late.join(", ");
        Finding::warning(
            "others_logs",
            Text::new(format!("overdue: {names}"), format!("逾期: {names}")),
            Text::new(
                "their agents are down or withhold logs; the regulator's `audit reconcile` names them",
                "对方服务停止或隐瞒日志; 监管方的 `audit reconcile` 会列出",
            ),
        )
    });
    findings
}
