//! Says in plain words what a file proves, in Chinese and in English, and what it does not prove.
//!
//! - **Invariants**: every sentence follows from a [`Verified`]; what only its maker states is said to be stated
//! - **Security**: identifiers are shortened; times are those of Asia/Shanghai
//! - **Source**: specs/evidence.md#words

use riskveil_exchange::query::answer::{Fact, ValueRange};
use riskveil_exchange::query::refusal::{RefusalReason, STATUS_EVALUATED};
use riskveil_exchange::record::{Category, Day, IdType, Identifier};

use super::statement::{
    AnswerStatement, LogStatement, LoggedAt, LoggedResponder, Outcome, ProvenAnswer, Shown, Statement, Verified,
};

/// In which language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// 中文
    Chinese,
    /// English
    English,
}

use Language::{Chinese, English};

/// What the file proves, one sentence a line.
#[must_use]
pub fn explain(verified: &Verified, language: Language) -> Vec<String> {
    let mut lines = match &verified.statement {
        Statement::Answers(statement) => answers(statement, language),
        Statement::LogEntry(statement) => log_entry(statement, language),
    };
    let (network, chain) = (&verified.network, verified.chain_id);
    let (height, time) = (verified.newest_height, time(verified.newest_time_s));
    lines.push(match language {
        Chinese => format!(
            "前提：链 {chain}（网络 {network}）的创世哈希可信；每一任期的验证者中作恶者不足三分之一，包括已离任者的密钥。文件所含最新区块：{height}（{time}）。"
        ),
        English => format!(
            "This rests on: the genesis hash of chain {chain} (network {network}) is trusted; fewer than a third of each term's \
             validators were Byzantine, departed validators' keys included. Newest block in the file: {height} ({time})."
        ),
    });
    lines
}

fn answers(statement: &AnswerStatement, language: Language) -> Vec<String> {
    let AnswerStatement { lender, purpose, height, as_of, .. } = statement;
    let (asked, issued) = (people(&statement.asked, language), time(statement.issued_at_s));
    let (digest, header_time) = (statement.header_digest, time(statement.header_time_s));
    let mut lines = vec![match language {
        Chinese => format!("{lender} 于 {issued}（其自身时钟）以用途 {purpose} 查询了：{asked}。"),
        English => format!("{lender} asked at {issued} (by its own clock), for {purpose}, about: {asked}."),
    }];
    lines.push(match language {
        Chinese => format!("以下结论截至区块 {height}（{digest}，{header_time}），业务日期 {as_of}（由文件制作者声明）。"),
        English => format!(
            "What follows holds as of block {height} ({digest}, {header_time}), for the business date {as_of} (stated by whoever \
             made this file)."
        ),
    });
    for (publisher, answer) in &statement.answers {
        lines.push(answered(publisher.as_str(), answer, *as_of, language));
        if let ProvenAnswer::Hit { facts, .. } = answer {
            lines.extend(facts.iter().map(|fact| format!("  - {}", fact_words(fact, language))));
        }
    }
    lines.push(outcome(statement.outcome(), language));
    lines.push(match language {
        Chinese => "未证明：此后没有新增记录；发布者的记录属实；查询方与应答方没有在系统之外串通；标注为“未证明”的机构是否持有记录。".to_owned(),
        English => "Not proven: that nothing was added later; that a publisher's records are true; that the lender and a responder \
                    did not collude outside the system; anything about an institution marked as not proven."
            .to_owned(),
    });
    lines
}

fn answered(publisher: &str, answer: &ProvenAnswer, as_of: Day, language: Language) -> String {
    let based = |shown: &Shown| {
        let Shown { batches, rows, expired, tip_height, .. } = shown;
        let served = time(shown.served_at_s);
        let mut text = match language {
            Chinese => {
                format!("依据其 {served} 签名的应答（其区块高度 {tip_height}）和全部 {batches} 个批次、{rows} 行")
            }
            English => format!(
                "from its answer signed at {served} (at its block {tip_height}) and all {batches} batches with {rows} rows"
            ),
        };
        if *expired > 0 {
            text.push_str(&match language {
                Chinese => format!("；另有 {expired} 条记录在 {as_of} 前已到期，不计入"),
                English => format!("; {expired} more records ended before {as_of} and do not count"),
            });
        }
        text
    };
    match (answer, language) {
        (ProvenAnswer::Hit { facts, shown }, Chinese) => {
            format!("{publisher}：命中 {} 条记录，已证明（{}）。", facts.len(), based(shown))
        }
        (ProvenAnswer::Hit { facts, shown }, English) => {
            format!("{publisher}: HIT, {} records, proven ({}).", facts.len(), based(shown))
        }
        (ProvenAnswer::Clear { shown }, Chinese) => {
            format!("{publisher}：无记录，已证明：以上每个标识在每个批次中均不存在有效记录（{}）。", based(shown))
        }
        (ProvenAnswer::Clear { shown }, English) => format!(
            "{publisher}: CLEAR, proven: it held no record of any of these identifiers in any batch ({}).",
            based(shown)
        ),
        (ProvenAnswer::Refused { reason, served_at_s }, Chinese) => {
            format!("{publisher}：拒绝应答（{reason}），由其于 {} 签名；它是否持有记录未证明。", time(*served_at_s))
        }
        (ProvenAnswer::Refused { reason, served_at_s }, English) => format!(
            "{publisher}: refused ({reason}), signed by it at {}; whether it holds a record is not proven.",
            time(*served_at_s)
        ),
        (ProvenAnswer::NotProven { stated }, Chinese) => {
            format!("{publisher}：未证明任何内容；文件制作者声明的原因：{stated}。")
        }
        (ProvenAnswer::NotProven { stated }, English) => {
            format!("{publisher}: nothing is proven; whoever made this file states: {stated}.")
        }
    }
}

fn outcome(outcome: Outcome, language: Language) -> String {
    let text = match (outcome, language) {
        (Outcome::Hit, Chinese) => "结论：至少一家机构持有记录。",
        (Outcome::Hit, English) => "In one word: HIT. At least one institution held a record.",
        (Outcome::Clear, Chinese) => "结论：无记录。链上每一家发布机构均已证明不持有有效记录。",
        (Outcome::Clear, English) => "In one word: CLEAR. It is proven for every publishing institution of the chain.",
        (Outcome::Incomplete, Chinese) => "结论：不完整。没有命中，但至少一家机构未作证明，不得视为无记录。",
        (Outcome::Incomplete, English) => {
            "In one word: INCOMPLETE. No record is shown, but for some institution nothing is proven; this is not a clear."
        }
    };
    text.to_owned()
}

fn log_entry(statement: &LogStatement, language: Language) -> Vec<String> {
    let LogStatement { lender, purpose, consent_digest, core_digest, .. } = statement;
    let (asked, issued) = (people(&statement.asked, language), time(statement.issued_at_s));
    let logged = logged(&statement.logged, language);
    let mut lines = vec![
        match language {
            Chinese => format!("{lender} 于 {issued}（其自身时钟）以用途 {purpose} 签名发出了查询 {core_digest}。"),
            English => {
                format!("{lender} signed and sent query {core_digest} at {issued} (by its own clock), for {purpose}.")
            }
        },
        match language {
            Chinese => format!("审计密钥证明该查询的对象是：{asked}；绑定的授权文件 SHA-256 为 {consent_digest}。"),
            English => format!(
                "The audit key shows that it is about: {asked}; it is bound to the consent document with SHA-256 \
                 {consent_digest}."
            ),
        },
        match language {
            Chinese => format!("{lender} 的日志包含该查询：{logged}。"),
            English => format!("The log of {lender} contains it: {logged}."),
        },
    ];
    lines.extend(statement.responders.iter().map(|one| responder(one, language)));
    lines.push(match language {
        Chinese => "未证明：应答内容或是否命中；未列出的机构是否收到查询；未附回执者没有记录；双方均隐瞒的交换。".to_owned(),
        English => "Not proven: what was answered, or whether it was a hit; whether others were asked; that who shows no receipt \
                    has none; an exchange that both sides hide."
            .to_owned(),
    });
    lines
}

fn responder(one: &LoggedResponder, language: Language) -> String {
    let publisher = &one.publisher;
    let answered = match (one.status, language) {
        (None, Chinese) => "没有附上其签名的应答".to_owned(),
        (None, English) => "no answer signed by it is shown".to_owned(),
        (Some(STATUS_EVALUATED), Chinese) => "其签名证明它作了应答".to_owned(),
        (Some(STATUS_EVALUATED), English) => "its signature shows that it answered".to_owned(),
        (Some(code), language) => {
            let reason = RefusalReason::from_code(code).map_or("unregistered", RefusalReason::as_str);
            match language {
                Chinese => format!("其签名证明它拒绝应答（{reason}）"),
                English => format!("its signature shows that it refused ({reason})"),
            }
        }
    };
    match (&one.receipt, language) {
        (Some(at), Chinese) => {
            format!("发往 {publisher}：{answered}；其日志包含回执：{}。", logged(at, language))
        }
        (Some(at), English) => {
            format!("Sent to {publisher}: {answered}; its log contains the receipt: {}.", logged(at, language))
        }
        (None, Chinese) => format!("发往 {publisher}：{answered}；未附其回执。"),
        (None, English) => format!("Sent to {publisher}: {answered}; no receipt of it is shown."),
    }
}

fn logged(at: &LoggedAt, language: Language) -> String {
    let LoggedAt { height, first_window, last_window, .. } = at;
    match language {
        Chinese => format!("窗口 {first_window} 至 {last_window}，区块 {height}（{}）", time(at.time_s)),
        English => format!("windows {first_window} to {last_window}, block {height} ({})", time(at.time_s)),
    }
}

fn fact_words(fact: &Fact, language: Language) -> String {
    let (severity, day) = (fact.severity, fact.event_day);
    let mut text = match language {
        Chinese => format!("{}，严重程度 {severity}，发生于 {day}", category(fact.category, language)),
        English => format!("{}, severity {severity}, on {day}", category(fact.category, language)),
    };
    for (zh, en, range) in
        [("逾期天数", "days overdue", fact.overdue_days), ("金额（分）", "amount in fen", fact.amount_minor)]
    {
        if let Some(range) = range {
            let (name, comma) = if language == Chinese { (zh, "，") } else { (en, ", ") };
            text.push_str(&format!("{comma}{name} {}", range_words(range, language)));
        }
    }
    if fact.weak {
        text.push_str(if language == Chinese {
            "（仅凭手机号，弱匹配）"
        } else {
            " (by mobile number alone: weak)"
        });
    }
    text
}

fn range_words(range: ValueRange, language: Language) -> String {
    match (range.to, language) {
        (Some(to), _) if to == range.from => to.to_string(),
        (Some(to), Chinese) => format!("{} 至 {to}", range.from),
        (Some(to), English) => format!("{} to {to}", range.from),
        (None, Chinese) => format!("{} 或以上", range.from),
        (None, English) => format!("{} or more", range.from),
    }
}

const fn category(category: Category, language: Language) -> &'static str {
    match (category, language) {
        (Category::Blacklist, Chinese) => "黑名单",
        (Category::Overdue, Chinese) => "逾期",
        (Category::CashOut, Chinese) => "疑似套现",
        (Category::Fraud, Chinese) => "疑似欺诈",
        (Category::Blacklist, English) => "blacklist",
        (Category::Overdue, English) => "overdue",
        (Category::CashOut, English) => "suspected cash-out",
        (Category::Fraud, English) => "suspected fraud",
    }
}

fn people(asked: &[Identifier], language: Language) -> String {
    let name = |id_type: IdType| match (id_type, language) {
        (IdType::ResidentId, Chinese) => "居民身份证",
        (IdType::Uscc, Chinese) => "统一社会信用代码",
        (IdType::BankCard, Chinese) => "银行卡",
        (IdType::Mobile, Chinese) => "手机号",
        (id_type, English) => id_type.as_str(),
    };
    let one = |identifier: &Identifier| format!("{} {}", name(identifier.id_type()), shortened(identifier));
    asked.iter().map(one).collect::<Vec<_>>().join(if language == Chinese { "，" } else { ", " })
}

/// An identifier with its middle hidden.
#[must_use]
pub fn shortened(identifier: &Identifier) -> String {
    identifier.canonical_expose(|text| {
        let count = text.chars().count();
        text.chars().enumerate().map(|(at, c)| if at < 4 || at + 4 >= count { c } else { '*' }).collect()
    })
}

/// A Unix time in Asia/Shanghai.
fn time(seconds: u64) -> String {
    let clock = seconds.saturating_add(8 * 3600) % 86_400;
    let day = Day::from_unix_seconds(seconds).map_or_else(|_| "after 2149".to_owned(), |day| day.to_string());
    format!("{day} {:02}:{:02}:{:02}+08:00", clock / 3600, clock / 60 % 60, clock % 60)
}
