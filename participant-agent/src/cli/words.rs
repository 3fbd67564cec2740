//! The registered words of results in Chinese, so that a report reads in both languages.
//!
//! - **Place**: whatever prints a result for people; `--json` and files keep the registered words alone
//! - **Source**: specs/errors.md, the registries of answers, refusals and rejected rows

/// `word` followed by its Chinese, or alone if it has none.
#[must_use]
pub fn both(word: &str) -> String {
    match chinese(word) {
        Some(chinese) => format!("{word} {chinese}"),
        None => word.to_owned(),
    }
}

/// The Chinese of a registered word.
#[must_use]
pub fn chinese(word: &str) -> Option<&'static str> {
    WORDS.iter().find(|(known, _)| *known == word).map(|(_, chinese)| *chinese)
}

/// Answers, categories, identifier types, purposes, reasons, warnings.
const WORDS: &[(&str, &str)] = &[
    ("hit", "命中"),
    ("clear", "无记录"),
    ("incomplete", "未全部答复"),
    ("unavailable", "未能答复"),
    ("refused", "拒绝答复"),
    ("malformed", "答复无效"),
    ("evaluated", "已应答"),
    ("unanswered", "未应答"),
    ("disclosed", "已披露"),
    ("faulty", "应答不成立"),
    ("proved", "已验证"),
    ("unproved", "尚未验证"),
    ("invalid", "无效"),
    ("not_sent", "未发送"),
    ("blacklist", "黑名单"),
    ("overdue", "逾期"),
    ("cash_out", "疑似套现"),
    ("fraud", "疑似欺诈"),
    ("resident_id", "居民身份证"),
    ("uscc", "统一社会信用代码"),
    ("bank_card", "银行卡"),
    ("mobile", "手机号"),
    ("pre_loan_approval", "贷前审批"),
    ("post_loan_management", "贷后管理"),
    ("guarantor_check", "担保人查询"),
    ("dispute_check", "异议核查"),
    ("subject_access", "本人查询"),
    ("identifier_not_asked", "有证件号未查询"),
    ("nothing_asked", "未向任何机构查询"),
    ("weak_hit", "仅凭手机号命中"),
    ("suspicion_only", "疑似信息不得作为拒绝的唯一依据"),
    // unavailable
    ("not_reached", "无法连接"),
    ("timed_out", "超时"),
    ("stale_replica", "本机账本落后"),
    ("header_ahead", "区块时间超前于本机时钟"),
    ("clock_disagrees", "本机时钟与各机构不一致"),
    ("tip_unknown", "本机账本未到对方高度"),
    ("tip_conflict", "双方账本不一致"),
    ("not_active", "不是有效的发布机构"),
    ("period_over", "周期已结束"),
    ("key_changed", "密钥已更换"),
    ("no_snapshot", "快照未封存"),
    ("revoked", "密钥已吊销"),
    ("no_audit_binding", "未绑定审计密钥"),
    ("replica_incomplete", "本机数据不完整"),
    // malformed
    ("response", "应答校验失败"),
    ("batch_count", "批次数与链上不符"),
    ("items_unverified", "有未验证的项"),
    ("output", "无法计算结果"),
    ("slot_gap", "记录序列有缺口"),
    ("row_unopenable", "记录无法打开"),
    ("label_invalid", "标签无效"),
    // refused
    ("not_a_lender", "不是放贷机构"),
    ("wrong_period", "周期尚未开始"),
    ("audit_key_not_current", "审计密钥不是当前的"),
    ("expired", "请求已过期"),
    ("clock_skew", "时钟偏差过大"),
    ("replayed", "重复的请求"),
    ("before_restart", "请求早于对方重启"),
    ("proof_invalid", "证明无效"),
    ("seal_length", "密封长度不符"),
    ("wrong_key", "密钥不符"),
    ("quota_exceeded", "当日额度已用完"),
    ("log_overdue", "查询日志逾期未上链"),
    ("not_ready", "对方尚未就绪"),
    ("overloaded", "对方繁忙"),
    ("purpose_not_allowed", "用途不被允许"),
    ("signature_invalid", "签名无效"),
    ("not_addressed", "不是发给该机构的请求"),
    // disclosure
    ("check_unknown", "对方没有应答过该查询"),
    ("no_matching_record", "没有相符的记录"),
    ("not_committed", "记录的承诺尚未上链"),
    ("out_of_range", "数值不在所问范围内"),
    ("undecodable", "应答无法解析"),
    ("wrong_publisher", "应答机构不符"),
    ("wrong_request", "应答的不是本次请求"),
    ("status_unknown", "应答状态不明"),
    ("refusal_not_empty", "拒绝中带有内容"),
    ("answer_malformed", "答非所问"),
    ("not_on_chain", "链上没有该承诺"),
    ("link_mismatch", "标签指向另一承诺"),
    ("static_facts_mismatch", "承诺的主体或事实与标签不符"),
    ("opening_invalid", "数值与承诺不符"),
    ("value_contradicts_label", "标签与承诺的数值矛盾"),
    ("no_consent", "缺少授权"),
    ("no_identifier", "没有有效的证件号"),
    // findings
    ("lender_omitted", "查询方漏记"),
    ("responder_omitted", "应答方漏记"),
    ("leaf_without_entry", "叶子没有对应的日志"),
    ("blob_unopenable", "日志无法打开"),
    ("missing_window", "缺少日志窗口"),
    ("equivocation", "前后矛盾"),
    ("late", "迟报"),
    ("escrow_mismatch", "密文与密封内容不符"),
    ("seal_malformed", "密封无效"),
    ("consent_mismatch", "授权不符"),
    ("repeated_c1", "密文重复使用"),
    ("entry_invalid", "日志条目无效"),
    ("range_proof_invalid", "范围证明无效"),
    // rejected rows and identifiers
    ("id_type", "证件类型不明"),
    ("id_missing", "缺少证件号"),
    ("id_length", "证件号长度或字符有误"),
    ("id_check_digit", "校验位不符"),
    ("id_birth_date", "出生日期无效"),
    ("id_region", "地区码无效"),
    ("id_sequence", "顺序码无效"),
    ("category", "类别不明"),
    ("severity", "严重程度无效"),
    ("overdue_days", "逾期天数无效"),
    ("amount", "金额无效"),
    ("event_date", "日期无效"),
    ("event_date_future", "日期在营业日之后"),
    ("currency", "币种不符"),
    ("too_many_records", "同一证件号记录过多"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use riskveil_exchange::audit::FindingKind;
    use riskveil_exchange::disclose::{DisclosureFault, DisclosureRefusal};
    use riskveil_exchange::purpose::Purpose;
    use riskveil_exchange::query::{MalformedReason, RefusalReason, UnavailableReason};
    use riskveil_exchange::record::{Category, IdType, RejectReason};

    use super::*;

    #[test]
    fn every_registered_word_has_one_translation() {
        let mut words: Vec<&str> = ["hit", "clear", "unavailable", "refused", "malformed"].into();
        words.extend(Category::ALL.iter().map(|one| one.as_str()));
        words.extend(IdType::ALL.iter().map(|one| one.as_str()));
        words.extend(Purpose::ALL.iter().map(|one| one.word()));
        words.extend(UnavailableReason::ALL.iter().map(|one| one.as_str()));
        words.extend(MalformedReason::ALL.iter().map(|one| one.as_str()));
        words.extend(RefusalReason::ALL.iter().map(|one| one.as_str()));
        words.extend(DisclosureRefusal::ALL.iter().map(|one| one.as_str()));
        words.extend(DisclosureFault::ALL.iter().map(|one| one.as_str()));
        words.extend(RejectReason::ALL.iter().map(|one| one.as_str()));
        words.extend(FindingKind::ALL.iter().map(|one| one.as_str()));
        for word in words {
            assert!(chinese(word).is_some(), "{word} has no Chinese");
        }
        let distinct: BTreeSet<_> = WORDS.iter().map(|(word, _)| word).collect();
        assert_eq!(distinct.len(), WORDS.len());
        assert_eq!((both("hit").as_str(), both("colour").as_str()), ("hit 命中", "colour"));
    }
}
