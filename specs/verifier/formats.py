"""What the bytes of an evidence file are ("Bytes" of evidence.md): one function a structure, each reading from a bcs.Reader."""
import datetime
import types

import group
from bcs import need, whole

FILE_MAX, HEADER_MAX, CERTIFICATE_MAX, MESSAGE_MAX, TRANSACTION_MAX = 1 << 24, 4096, 8192, 4096, 16384
BOUNDARIES, RUNS, HEADERS_IN_RUNS, STATE_ENTRIES = 32768, 256, 8192, 65536
ITEMS, PUBLISHERS, BATCHES, ROWS, ENVELOPES, REASON = 4, 100, 16384, 1024, 100, 64


class Record(types.SimpleNamespace):
    """A structure with named fields."""


def fields(r, **readers):
    """The fields in the order in which they stand."""
    return Record(**{name: read() for name, read in readers.items()})


def raw(r, n):
    return lambda: r.raw(n)


def element(r):
    def read():
        b = r.raw(32)
        need(group.decode(b) is not None, "an element that is none")
        return b
    return read


def variant(r, most):
    n = r.varint(32)
    need(n <= most, "an unknown variant")
    return n


def limited(data, most, read):
    """What a byte string of at most `most` bytes holds, exactly."""
    need(len(data) <= most, "above its length")
    return whole(data, read)


# The file

def inclusion_proof(r):
    return fields(r, index=r.u64, size=r.u64, path=lambda: r.seq(raw(r, 32)))


def evidence(data):
    need(len(data) <= FILE_MAX, "above 16 MiB")
    return whole(data, _evidence)


def _evidence(r):
    r.header(48)
    e = Record(chain_id=r.raw(32), genesis=r.bytes())
    e.boundaries = r.seq(lambda: fields(r, header=r.bytes, certificate=r.bytes), BOUNDARIES)
    e.chains = r.seq(lambda: fields(r, headers=lambda: r.seq(r.bytes, HEADERS_IN_RUNS), certificate=r.bytes), RUNS)
    need(sum(len(c.headers) for c in e.chains) <= HEADERS_IN_RUNS, "too many headers in runs")
    entry = lambda: fields(r, key=r.bytes, value=r.bytes, index=r.u64, path=lambda: r.seq(raw(r, 32)))
    e.state = fields(r, height=r.u64, size=r.u64, entries_root=raw(r, 32), entries=lambda: r.seq(entry, STATE_ENTRIES))
    e.kind = ("answers", "log")[variant(r, 1)]
    e.claim = _answers(r) if e.kind == "answers" else _log_entry(r)
    return e


def _answers(r):
    def item():
        if variant(r, 1):
            return Record(canonical=None, proof=r.raw(64))
        return fields(r, canonical=r.bytes, s=raw(r, 32))

    exchange = lambda: fields(r, envelope=r.bytes, signature=raw(r, 64), response=r.bytes)
    row = lambda: fields(r, index=r.u32, row=raw(r, 92), path=lambda: r.seq(raw(r, 32)))

    def publisher():
        name, kind = r.name(), ("evaluated", "refused", "not proven")[variant(r, 2)]
        if kind == "evaluated":
            return Record(name=name, kind=kind, exchange=exchange(), batches=r.seq(lambda: r.seq(row, ROWS), BATCHES))
        if kind == "refused":
            return Record(name=name, kind=kind, exchange=exchange())
        return Record(name=name, kind=kind, reason=r.text(REASON))

    return fields(r, core=r.bytes, proofs=r.bytes, judged_height=r.u64, as_of=r.u16, items=lambda: r.seq(item, ITEMS),
                  publishers=lambda: r.seq(publisher, PUBLISHERS))


def _log_entry(r):
    def item():
        dummy = variant(r, 1)
        return Record(canonical=None if dummy else r.bytes(), proof=r.raw(64))

    logged = lambda: fields(r, height=r.u64, transaction=r.bytes, inclusion=lambda: inclusion_proof(r),
                            receipt=lambda: inclusion_proof(r))
    outcome = lambda: fields(r, status=r.u8, response_digest=raw(r, 32), signature=raw(r, 64))
    receipt = lambda: fields(r, logged=logged, leaf=lambda: inclusion_proof(r))
    envelope = lambda: fields(r, envelope=r.bytes, signature=raw(r, 64), leaf=lambda: inclusion_proof(r),
                              outcome=lambda: r.opt(outcome), receipt=lambda: r.opt(receipt))
    return fields(r, core=r.bytes, proofs=r.bytes, items=lambda: r.seq(item, ITEMS), consent_digest=raw(r, 32),
                  consent_salt=raw(r, 32), queries=logged, envelopes=lambda: r.seq(envelope, ENVELOPES))


# What stands inside byte strings

ENVELOPE_HEADER = b"\1\0\x11\1"


def genesis(data):
    def read(r):
        r.header(3)
        g = fields(r, network=r.text, genesis_time_s=r.u64, currency=r.text)
        g.policy = fields(
            r, period_s=r.u64, freeze_s=r.u64, log_window_s=r.u64, leaf_due_windows=r.u64, refuse_after_windows=r.u64,
            fresh_tip_s=r.u64, request_ttl_s=r.u64, clock_skew_s=r.u64, term_blocks=r.u64, max_block_bytes=r.u64,
            max_rows_per_tx=r.u32, quota=r.u64, retention_years=r.u8, level=r.u8, min_log_bucket=r.u32, commit_delay_ms=r.u64,
            empty_block_ms=r.u64, purposes=lambda: r.seq(r.u8))
        g.audit_key = fields(r, regulator=r.name, y=element(r), possession=raw(r, 64), seal_key=raw(r, 32),
                             seal_possession=raw(r, 96), until_s=r.u64)
        g.members = r.seq(lambda: fields(
            r, name=r.name, lender=r.flag, publisher=r.flag, validator=r.flag, regulator=r.flag, identity=raw(r, 32),
            tls=raw(r, 32), engine=raw(r, 32), peer_address=r.text, engine_address=r.text))
        need(g.policy.period_s and g.policy.term_blocks, "a policy without periods or terms")
        return g
    return whole(data, read)


def block_header(data):
    def read(r):
        r.header(2)
        return fields(r, chain_id=raw(r, 32), height=r.u64, parent=raw(r, 32), time_ms=r.u64, term=r.u64, proposer=raw(r, 32),
                      tx_root=raw(r, 32), payload_root=raw(r, 32), receipts_root=raw(r, 32), state_root=raw(r, 32),
                      next_committee=lambda: r.opt(lambda: r.seq(raw(r, 32))))
    return limited(data, HEADER_MAX, read)


def certificate(data):
    def read(r):
        c = Record(term=r.varint(64), view=r.varint(64), parent_view=r.varint(64), digest=r.raw(32))
        c.n = int.from_bytes(r.raw(8), "big")
        need(1 <= c.n <= 100, "a committee of no possible size")
        bitmap = int.from_bytes(r.raw((c.n + 7) // 8), "little")
        need(bitmap >> c.n == 0, "unused bits that are set")
        c.signers = [i for i in range(c.n) if bitmap >> i & 1]
        need(r.varint(64) == len(c.signers), "another number of signatures than bits")
        c.signatures = [r.raw(64) for _ in c.signers]
        return c
    return limited(data, CERTIFICATE_MAX, read)


def request_core(data):
    def read(r):
        r.header(16)
        c = fields(r, chain_id=raw(r, 32), lender=r.name, nonce=raw(r, 32), issued_at_s=r.u64, expires_at_s=r.u64, period=r.u32,
                   audit_key_id=r.u32, ref_height=r.u64, ref_header_hash=raw(r, 32), purpose=r.u8, consent_commit=raw(r, 32))
        need(1 <= c.purpose <= 5, "a purpose that is none")
        need(variant(r, 1) == 0, "a shape that is no check")
        c.items = r.seq(lambda: fields(r, c1=element(r), c2=element(r)))
        c.seal_digest = r.raw(32)
        return c
    return limited(data, MESSAGE_MAX, read)


def proofs(data):
    def read(r):
        need(variant(r, 1) == 0, "proofs that are no check's")
        return r.seq(raw(r, 64))
    return limited(data, MESSAGE_MAX, read)


def envelope(data):
    def read(r):
        # The header is judged after the publisher is known: EV-20 names it.
        return fields(r, header=raw(r, 4), core_digest=raw(r, 32), proofs_digest=raw(r, 32), publisher=r.name, period=r.u32, k=element(r),
                      salt=raw(r, 32))
    return limited(data, MESSAGE_MAX, read)


def response(data):
    def read(r):
        r.header(18)
        return fields(r, core_digest=raw(r, 32), envelope_digest=raw(r, 32), publisher=r.name, period=r.u32, k=element(r),
                      status=r.u8, tip_height=r.u64, tip_header_hash=raw(r, 32), last_batch_seq=r.u32, served_at_s=r.u64,
                      z=lambda: r.seq(raw(r, 32)), proof=raw(r, 64), signature=raw(r, 64))
    return limited(data, MESSAGE_MAX, read)


LOG_QUERIES, LOG_RECEIPTS = 8, 9


def log_transaction(data):
    """A signed transaction whose body logs queries or receipts; every other body "proves nothing here"."""
    def read(r):
        r.header(1)
        t = fields(r, chain_id=raw(r, 32), sender=r.name, sequence=r.u64, expiry_height=r.u64, kind=lambda: r.varint(32))
        need(t.kind in (LOG_QUERIES, LOG_RECEIPTS), "a transaction that logs nothing")
        t.body = fields(r, first_window=r.u64, last_window=r.u64, digest=raw(r, 32), len=r.u32, count=r.u32, root=raw(r, 32))
        t.signature = r.raw(64)
        return t
    return limited(data, TRANSACTION_MAX, read)


# State entries

def _padded(name):
    return name.encode().ljust(32, b"\0")


def audit_key_key(number):
    return b"\x05" + number.to_bytes(4, "big")


def period_key_key(period, publisher):
    return b"\x07" + period.to_bytes(4, "big") + _padded(publisher)


def binding_key(period, publisher, number):
    return b"\x09" + period.to_bytes(4, "big") + _padded(publisher) + number.to_bytes(4, "big")


def batch_key(period, publisher, batch):
    return b"\x0a" + period.to_bytes(4, "big") + _padded(publisher) + batch.to_bytes(4, "big")


def audit_key(data):
    return whole(data, lambda r: fields(r, audit_key_id=r.u32, regulator=r.name, y=element(r), seal_key=raw(r, 32), from_s=r.u64,
                                        until_s=r.u64, announced_at=r.u64))


def period_key(data):
    def read(r):
        sealed = lambda: fields(r, height=r.u64, time_s=r.u64, batch_count=r.u32, root=raw(r, 32))
        return fields(r, k=element(r), key_serial=r.u32, announced_at=r.u64, batch_count=r.u32, rows_total=r.u64,
                      sealed=lambda: r.opt(sealed), revoked=r.flag)
    return whole(data, read)


def binding(data):
    return whole(data, lambda r: fields(r, k_y=element(r), proof=raw(r, 64)))


def batch(data):
    return whole(data, lambda r: fields(r, root=raw(r, 32), digest=raw(r, 32), count=r.u32, len=r.u32, height=r.u64))


# Labels

CATEGORIES = {1: "blacklist", 2: "overdue", 3: "cash_out", 4: "fraud"}
DAY_BANDS = ["0", "1-30", "31-60", "61-90", "91-120", "121-150", "151-180", "181 and more"]
AMOUNT_BANDS = ["0", "below 1,000", "1,000 to below 5,000", "5,000 to below 10,000", "10,000 to below 50,000",
                "50,000 to below 100,000", "100,000 to below 500,000", "500,000 and more"]


def day(n):
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=n)).isoformat()


def label(data):
    """The 48 bytes of a label; Malformed if they are none."""
    def read(r):
        l = fields(r, kind=r.u8, severity=r.u8, flags=r.u8, level=r.u8, event_day=r.u16, expiry_day=r.u16, days=r.u16,
                   amount=r.u32, link=raw(r, 32), zero=r.u16)
        need(l.kind >> 4 == 1 and l.kind & 15 in CATEGORIES, "a category that is none")
        need(1 <= l.severity <= 5, "a severity that is none")
        need(1 <= l.level <= 3, "a level that is none")
        need(l.expiry_day >= l.event_day, "an expiry before the event")
        need(l.zero == 0, "reserved bytes that are not zero")
        if l.level == 1:
            need(l.days == l.amount == l.flags == 0, "a match with more than a match")
        elif l.level == 2:
            need(l.days <= 7 and l.amount <= 7 and l.flags == 0, "bands that are none")
        else:
            need(l.flags & ~3 == 0, "unknown flags")
            need(not l.flags & 1 or l.days == 0xFFFF, "days that are not capped and say so")
            need(not l.flags & 2 or l.amount == 0xFFFFFFFF, "an amount that is not capped and says so")
        return l
    return whole(data, read)


def fact(l, id_type):
    """A label in words, for people and for --json."""
    words = {"category": CATEGORIES[l.kind & 15], "severity": l.severity, "event_day": day(l.event_day),
             "expiry_day": day(l.expiry_day)}
    if l.level == 2:
        words["days"], words["amount"] = DAY_BANDS[l.days], AMOUNT_BANDS[l.amount]
    elif l.level == 3:
        words["days"] = f"{l.days}{' or more' if l.flags & 1 else ''}"
        words["amount"] = f"{l.amount // 100:,}.{l.amount % 100:02}{' or more' if l.flags & 2 else ''}"
    words["found_by"] = ID_TYPES[id_type]
    words["weak"] = id_type == 4
    return words


# Identifiers

ID_TYPES = {1: "resident_id", 2: "uscc", 3: "bank_card", 4: "mobile"}
PROVINCES = {*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47), *range(50, 55), *range(61, 66), 71, 81, 82}
RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
USCC_ALPHABET = b"0123456789ABCDEFGHJKLMNPQRTUWXY"
USCC_WEIGHTS = (1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28)


def _digits(b):
    return all(48 <= c <= 57 for c in b)


def is_canonical(id_type, c):
    """Whether these bytes are an identifier of this type in canonical form ("Canonical forms" of evidence.md)."""
    return (_resident_id, _uscc, _bank_card, _mobile)[id_type - 1](c)


def _resident_id(c):
    if len(c) != 18 or not _digits(c[:17]):
        return False
    if b"10X98765432"[sum((d - 48) * w for d, w in zip(c, RESIDENT_WEIGHTS)) % 11] != c[17]:
        return False
    try:
        born = datetime.date(int(c[6:10]), int(c[10:12]), int(c[12:14]))
    except ValueError:
        return False
    in_range = datetime.date(1880, 1, 1) < born <= datetime.date(2149, 6, 6)
    return in_range and int(c[:2]) in PROVINCES and c[14:17] != b"000"


def _uscc(c):
    values = [USCC_ALPHABET.find(bytes([x])) for x in c]
    if len(c) != 18 or -1 in values:
        return False
    return values[17] == (31 - sum(v * w for v, w in zip(values, USCC_WEIGHTS)) % 31) % 31


def _bank_card(c):
    if not 13 <= len(c) <= 19 or not _digits(c):
        return False
    doubled = [(d - 48) * (1 + i % 2) for i, d in enumerate(reversed(c))]
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0


def _mobile(c):
    return len(c) == 11 and _digits(c) and c[0] == 49 and c[1] >= 51
