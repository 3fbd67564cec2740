//! The other members: each reached and with the TLS key of the genesis, what clock it has, what tip.
//!
//! ```text
//! GET /peer/v1/tip -> {"member", "height", "header_digest", "header_time_s", "clock_ms"}
//! ```
//!
//! - **Shapes**: JSON; the channel shows who says it. A clock is compared with the middle of the request's round trip
//! - **Invariants**: what one member claims decides nothing: clocks and heights are compared with the median
//! - **Security**: every member may ask every other; it tells what every replica knows

use std::sync::Arc;
use std::time::{Duration, Instant};

use riskveil_chain::genesis::Genesis;
use riskveil_crypto::Digest32;
use riskveil_exchange::ids::{Height, MemberId};
use serde::{Deserialize, Serialize};

use super::{Finding, Text};
use crate::clock::Clock;
use crate::keystore::Keystore;
use crate::peers::client::{PeerClient, PeerError};
use crate::peers::directory::Directory;
use crate::peers::tls::TlsIdentity;

/// Where members tell each other their tips.
pub const TIP_PATH: &str = "/peer/v1/tip";
/// Time for a member to answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// A member's finalized tip and clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerTip {
    /// Who says it.
    pub member: MemberId,
    /// Its finalized height.
    pub height: Height,
    /// That block's header.
    pub header_digest: Digest32,
    /// The header's time, Unix s.
    pub header_time_s: u64,
    /// Its clock, Unix ms.
    pub clock_ms: u64,
}

/// What came of asking a member.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Whom.
    pub member: MemberId,
    /// Where.
    pub address: String,
    /// Whether it validates.
    pub validator: bool,
    /// Its tip; none if it is reached but tells none.
    pub answer: Result<Option<Heard>, PeerError>,
}

/// A tip and how it came.
#[derive(Clone, Debug)]
pub struct Heard {
    /// What it said.
    pub tip: PeerTip,
    /// Its clock minus ours in the middle of the round trip, ms.
    pub ahead_ms: i64,
    /// The round trip, connection included.
    pub took: Duration,
}

/// Asks every other member for its tip.
///
/// # Errors
/// The finding, if this member's own TLS key cannot be used.
pub async fn look(genesis: &Genesis, own: &MemberId, keystore: &Keystore) -> Result<Vec<Seen>, Finding> {
    let directory = Directory::new(genesis.members.iter().cloned());
    let client = TlsIdentity::from_seed(&keystore.member().tls_seed)
        .and_then(|identity| PeerClient::new(&identity, &directory))
        .map_err(|error| {
            Finding::failed(
                "peers",
                Text::new(error.to_string(), format!("TLS 密钥无法使用: {error}")),
                Text::new("restore keys/ from a backup", "从备份恢复 keys/"),
            )
        })?;
    let client = Arc::new(client);
    let asked = genesis.members.iter().filter(|member| member.id != *own).map(|member| {
        let client = client.clone();
        async move {
            let answer = ask(&client, &member.id).await;
            let (validator, address) = (member.roles.validator, member.peer_address.clone());
            Seen { member: member.id.clone(), address, validator, answer }
        }
    });
    Ok(futures::future::join_all(asked).await)
}

async fn ask(client: &PeerClient, member: &MemberId) -> Result<Option<Heard>, PeerError> {
    let clock = Clock::system();
    let (asked_at, began) = (clock.now_ms(), Instant::now());
    let answer = client.get(member, TIP_PATH, PATIENCE).await;
    let took = began.elapsed();
    let body = match answer {
        Ok(body) => body,
        Err(PeerError::Status(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Ok(tip) = serde_json::from_slice::<PeerTip>(&body) else { return Ok(None) };
    if tip.member != *member {
        return Ok(None);
    }
    let half = u64::try_from(took.as_millis() / 2).unwrap_or(0);
    let ahead_ms = i128::from(tip.clock_ms) - i128::from(asked_at.saturating_add(half));
    Ok(Some(Heard { tip, ahead_ms: i64::try_from(ahead_ms).unwrap_or(i64::MAX), took }))
}

/// Every member is reached with its key, and enough validators for the chain to move.
#[must_use]
pub fn judge(genesis: &Genesis, own: &MemberId, seen: &[Seen]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = seen.iter().map(judge_one).collect();
    let validates = genesis.member(own).is_some_and(|member| member.roles.validator);
    let reached = seen.iter().filter(|one| one.validator && one.answer.is_ok()).count() + usize::from(validates);
    let all = genesis.validators().len();
    let needed = all - all.saturating_sub(1) / 3;
    let detail = Text::new(
        format!(
            "{reached} of {all} validators reached{}, {needed} are needed",
            if validates { ", this one counted" } else { "" }
        ),
        format!("可达验证节点 {reached} / {all}, 至少需要 {needed}"),
    );
    findings.push(if reached >= needed {
        Finding::ok("validators", detail)
    } else {
        Finding::failed(
            "validators",
            detail,
            Text::new(
                "the chain stands still until enough of them run and are reached: look at this machine's network first, then call their operators",
                "验证节点不足时链不会前进: 先检查本机网络, 再联系对方运维",
            ),
        )
    });
    findings
}

fn judge_one(seen: &Seen) -> Finding {
    let name = format!("{} at {}", seen.member, seen.address);
    match &seen.answer {
        Ok(heard) => {
            let took = heard.as_ref().map(|heard| format!(", {} ms", heard.took.as_millis())).unwrap_or_default();
            Finding::ok(
                "peer",
                Text::new(format!("{name} answers with its key{took}"), format!("{name} 密钥相符{took}")),
            )
        }
        Err(error @ (PeerError::Handshake | PeerError::Unknown)) => Finding::failed(
            "peer",
            Text::new(format!("{name} {error}"), format!("{name} 密钥不符或拒绝握手")),
            Text::new(
                "compare both members' genesis.toml (`chain id`) and keys (`keys show`); if they agree, something else answers at this address",
                "核对双方的创世文件 (链编号) 与公钥 (`keys show`); 若一致, 则该地址由他人应答",
            ),
        ),
        Err(error) => Finding::warning(
            "peer",
            Text::new(format!("{name} {error}"), format!("{name} 无法连接")),
            Text::new(
                format!(
                    "try `nc -vz {}`; if that fails, call its operator or open the firewall",
                    seen.address.replace(':', " ")
                ),
                format!("执行 `nc -vz {}`; 若失败, 请联系对方运维或开放防火墙", seen.address.replace(':', " ")),
            ),
        ),
    }
}

/// The own clock against the genesis, the chain's header time and the members' clocks.
#[must_use]
pub fn judge_clock(genesis: &Genesis, now_ms: u64, header_time_s: Option<u64>, seen: &[Seen]) -> Vec<Finding> {
    let (now_s, skew_s) = (now_ms / 1000, genesis.policy.clock_skew_s);
    let set = || {
        Text::new(
            "set this machine's clock and keep it set (`timedatectl set-ntp true`)",
            "校准本机时钟并保持同步 (`timedatectl set-ntp true`)",
        )
    };
    if now_s.saturating_add(skew_s) < genesis.genesis_time_s {
        let by = genesis.genesis_time_s - now_s;
        let detail = Text::new(format!("{by} s before the genesis"), format!("早于创世时间 {by} 秒"));
        return vec![Finding::failed("clock", detail, set())];
    }
    if let Some(by) = header_time_s.and_then(|time_s| time_s.checked_sub(now_s)).filter(|by| *by > skew_s) {
        let detail = Text::new(
            format!("{by} s behind the time that the validators put into the newest block"),
            format!("落后于最新区块的时间 {by} 秒"),
        );
        return vec![Finding::failed("clock", detail, set())];
    }
    let mut ahead: Vec<i64> = seen.iter().filter_map(heard).map(|heard| heard.ahead_ms).collect();
    ahead.sort_unstable();
    let Some(median) = ahead.get(ahead.len() / 2).copied() else {
        let detail = Text::new(
            "after the genesis and the newest block; no other member was asked",
            "晚于创世时间与最新区块; 未与其他成员比对",
        );
        return vec![Finding::ok("clock", detail)];
    };
    let off_s = seconds(median);
    let detail = Text::new(
        format!("{off_s} s {} the median of {} members", if median > 0 { "behind" } else { "ahead of" }, ahead.len()),
        format!("比 {} 个成员的中位数{} {off_s} 秒", ahead.len(), if median > 0 { "慢" } else { "快" }),
    );
    let mut findings = vec![if median.unsigned_abs() > skew_s * 1000 {
        Finding::failed("clock", detail, set())
    } else if median.unsigned_abs() > skew_s * 500 {
        Finding::warning("clock", detail, set())
    } else {
        Finding::ok("clock", detail)
    }];
    for one in seen {
        let Some(heard) = heard(one) else { continue };
        let from_median = heard.ahead_ms.saturating_sub(median);
        if from_median.unsigned_abs() > skew_s * 1000 {
            let (member, by) = (&one.member, seconds(from_median));
            findings.push(Finding::warning(
                "clock",
                Text::new(
                    format!("{member}'s clock is {by} s off the others'; its answers are refused or not counted"),
                    format!("{member} 的时钟与其他成员相差 {by} 秒; 其答复会被拒绝或不计"),
                ),
                Text::new(format!("tell {member}'s operator"), format!("请通知 {member} 的运维")),
            ));
        }
    }
    findings
}

fn heard(seen: &Seen) -> Option<&Heard> {
    seen.answer.as_ref().ok()?.as_ref()
}

fn seconds(ms: i64) -> String {
    format!("{:.1}", ms.unsigned_abs() as f64 / 1000.0)
}

/// The tip that half of the members have reached, and who has another block at our height.
#[must_use]
pub fn median_tip(seen: &[Seen]) -> Option<&PeerTip> {
    let mut tips: Vec<&PeerTip> = seen.iter().filter_map(heard).map(|heard| &heard.tip).collect();
    tips.sort_by_key(|tip| tip.height);
    tips.get(tips.len() / 2).copied()
}

/// Members with another block at this height.
#[must_use]
pub fn forked(seen: &[Seen], height: Height, digest: &Digest32) -> Vec<MemberId> {
    let other = |tip: &&PeerTip| tip.height == height && tip.header_digest != *digest;
    seen.iter().filter_map(heard).map(|heard| &heard.tip).filter(other).map(|tip| tip.member.clone()).collect()
}
