"""The rules of evidence.md, section "Verification": one method a rule, in the specification's order."""
import functools
import hashlib
import hmac
import re

import aesgcm
import formats
import group
from bcs import Malformed, byte_string, need, uleb as varint
from transcript import Transcript

TAG = b"riskveil/v1/"
SLOTS, UNUSED_IN_A_ROW = 64, 4


class Refused(Exception):
    """A rule does not hold."""

    def __init__(self, rule, publisher, reason):
        super().__init__(reason)
        self.rule, self.publisher, self.reason = rule, publisher, reason


def rule(number):
    """Turns what a method refuses, and every malformed byte string it meets, into a refusal by this rule."""
    def wrap(method):
        @functools.wraps(method)
        def checked(self, *args, **kwargs):
            try:
                return method(self, *args, **kwargs)
            except Malformed as e:
                publisher = next((a.name for a in args if getattr(a, "is_publisher", False)), None)
                raise Refused(f"EV-{number}", publisher, str(e)) from None
        return checked
    return wrap


# Hashes, trees, signatures, transcripts

def sha256(b):
    return hashlib.sha256(b).digest()


def tagged(tag, *parts):
    """H of evidence.md; the tag without its prefix."""
    tag = TAG + tag
    return sha256(b"".join([len(tag).to_bytes(2, "big"), tag] + [len(p).to_bytes(8, "big") + p for p in parts]))


def leaf(d):
    return sha256(b"\0" + d)


def node(left, right):
    return sha256(b"\1" + left + right)


def tree_root(items):
    """The RFC 9162 section 2.1 root over these items."""
    if not items:
        return sha256(b"")
    if len(items) == 1:
        return leaf(items[0])
    split = 1 << (len(items) - 1).bit_length() - 1
    return node(tree_root(items[:split]), tree_root(items[split:]))


def included(d, index, size, path, root):
    """Inclusion, as evidence.md writes it out."""
    if index >= size:
        return False
    p, q, r = index, size - 1, d
    for s in path:
        if q == 0:
            return False
        if p & 1 or p == q:
            r = node(s, r)
            while not p & 1 and p:
                p, q = p >> 1, q >> 1
        else:
            r = node(r, s)
        p, q = p >> 1, q >> 1
    return q == 0 and r == root


def u8(n):
    return bytes([n])


def u32(n):
    return n.to_bytes(4, "little")


def len16(b):
    return len(b).to_bytes(2, "big") + b


def elements(*encodings):
    return [group.decode(e) for e in encodings]


def scalars(proof):
    a, b = group.scalar(proof[:32]), group.scalar(proof[32:])
    need(a is not None and b is not None, "a proof whose scalars are not canonical")
    return a, b


def challenge(tag, appended, announced):
    """The scalar challenge `c` of a transcript."""
    t = Transcript(TAG + tag)
    for label, value in appended + announced:
        t.append_u64(label, value) if isinstance(value, int) else t.append(label, value)
    return int.from_bytes(t.challenge(b"c", 64), "little") % group.L


def equal_logs(tag, context, named, proof, base1, image1, base2, image2):
    """A proof (c, z) that image1 = w*base1 and image2 = w*base2 for one w."""
    c, z = scalars(proof)
    r1, r2 = z * base1 - c * image1, z * base2 - c * image2
    announced = [(b"R1", group.encode(r1)), (b"R2", group.encode(r2))]
    return challenge(tag, [(b"context", context)] + named, announced) == c


def hkdf_sha512(salt, ikm, info, n):
    """RFC 5869, at most 64 bytes."""
    prk = hmac.new(salt, ikm, hashlib.sha512).digest()
    return hmac.new(prk, info + b"\1", hashlib.sha512).digest()[:n]


DUMMY = group.hash_to_group(TAG + b"crypto/escrow-dummy")


def identifier_input(id_type, canonical):
    return byte_string(TAG + b"exchange/oprf-input") + u8(id_type) + byte_string(canonical)


class Verifier:
    """One file, verified from a trusted chain id. `run` raises Refused or returns what is proven."""

    def __init__(self, data, trusted):
        self.data, self.trusted = data, trusted

    def run(self):
        self.ev_1()
        self.ev_2()
        self.ev_3()
        self.ev_4()
        self.ev_5()
        self.ev_6()
        self.ev_10()
        self.ev_11()
        self.ev_12()
        return self.answers() if self.file.kind == "answers" else self.log_entry()

    # Trust

    @rule(1)
    def ev_1(self):
        """[EV-1] The file decodes, its header is version 1, kind 48, suite 1; every count is within its bound."""
        self.file = formats.evidence(self.data)
        self.claim = self.file.claim

    @rule(2)
    def ev_2(self):
        """[EV-2] `chain_id` is the trusted one."""
        self.chain_id = self.file.chain_id
        need(self.chain_id == self.trusted, "the evidence is of another chain")

    @rule(3)
    def ev_3(self):
        """[EV-3] The genesis hashes to the chain id and decodes; its validators are the committee of term 0."""
        need(tagged(b"chain/genesis", self.file.genesis) == self.chain_id, "the genesis is not this chain's")
        self.genesis = formats.genesis(self.file.genesis)
        self.members = {m.name: m for m in self.genesis.members}
        self.committees = [[m.engine for m in self.genesis.members if m.validator]]

    def term(self, height):
        return height // self.genesis.policy.term_blocks

    def finalizes(self, certificate, header, digest):
        """The engine's certificate ("Certificate" of evidence.md) finalizes this header under its term's committee."""
        c = formats.certificate(certificate)
        committee = sorted(self.committees[header.term])
        need(len(set(committee)) == len(committee), "a committee that counts a key twice")
        need(all(group.is_point(k) for k in committee), "a committee with a key that is no point")
        need(c.n == len(committee), "a certificate of another committee's size")
        need(c.term == header.term and c.digest == digest, "a certificate of another header")
        need(len(c.signers) >= c.n - (c.n - 1) // 3, "a certificate without a quorum")
        namespace = TAG + b"chain/engine" + self.chain_id + b"_FINALIZE"
        message = b"".join([byte_string(namespace), varint(c.term), varint(c.view), varint(c.parent_view), digest])
        for i, signature in zip(c.signers, c.signatures):
            need(group.ed25519_zip215(committee[i], message, signature), "a certificate with a forged signature")

    def header(self, data):
        """A header of this chain that states the term of its height."""
        h = formats.block_header(data)
        need(h.chain_id == self.chain_id, "a header of another chain")
        need(h.term == self.term(h.height), "a header that does not state the term of its height")
        return h

    @rule(4)
    def ev_4(self):
        """[EV-4] Boundary by boundary, the last header of each term, certified by its committee, names the next one."""
        for b in self.file.boundaries:
            t = len(self.committees) - 1
            h, digest = self.header(b.header), tagged(b"chain/header", b.header)
            need(h.term == t, "a boundary of another term than the next")
            need(h.height > 0 and (h.height + 1) % self.genesis.policy.term_blocks == 0, "a boundary that ends no term")
            need(h.next_committee is not None, "a boundary without a next committee")
            self.finalizes(b.certificate, h, digest)
            self.committees.append(h.next_committee)

    @rule(5)
    def ev_5(self):
        """[EV-5] Each run is linked by parent, height and time to a last header that its term's committee certified.

        The runs' headers are final. A boundary's is not, unless it stands in a run too.
        """
        self.final = {}
        for run in self.file.chains:
            need(run.headers, "a run without headers")
            parent = None
            for data in run.headers:
                h, digest = self.header(data), tagged(b"chain/header", data)
                if parent is not None:
                    linked = h.parent == parent[0] and h.height == parent[1].height + 1 and h.time_ms > parent[1].time_ms
                    need(linked, "headers that do not follow each other")
                need(self.final.setdefault(h.height, (digest, h))[0] == digest, "two headers of one height")
                parent = digest, h
            need(parent[1].term < len(self.committees), "a run whose committee is not known")
            self.finalizes(run.certificate, parent[1], parent[0])

    def final_header(self, height, what):
        need(height in self.final, f"{what} is not among the final headers")
        return self.final[height][1]

    @rule(6)
    def ev_6(self):
        """[EV-6] The state is that of a final header; every entry is included in it, in order of index and of key."""
        state = self.file.state
        h = self.final_header(state.height, "the block of the state")
        root = tagged(b"chain/state-root", state.size.to_bytes(8, "big"), state.entries_root)
        need(root == h.state_root, "a state that is not its block's")
        before = None
        for e in state.entries:
            need(before is None or (before.index < e.index and before.key < e.key), "state entries out of order")
            d = leaf(byte_string(e.key) + byte_string(e.value))
            need(included(d, e.index, state.size, e.path, state.entries_root), "a state entry that is not the state's")
            before = e
        self.state = {e.key: e.value for e in state.entries}

    def held(self, key, read):
        """What the state holds under a key, or None if the file does not show it."""
        return read(self.state[key]) if key in self.state else None

    def signed(self, member, tag, message, signature):
        return group.ed25519_strict(self.members[member].identity, tagged(tag, self.chain_id, message), signature)

    # Request

    @rule(10)
    def ev_10(self):
        """[EV-10] Core and proofs decode, are a check of this chain, and a lender's."""
        self.core, self.proofs = formats.request_core(self.claim.core), formats.proofs(self.claim.proofs)
        self.core_digest = tagged(b"exchange/request-core", self.claim.core)
        need(self.core.chain_id == self.chain_id, "a request of another chain")
        need(len(self.core.items) == len(self.proofs) == 4, "a request that is no check of 4 items")
        need(self.core.lender in self.members and self.members[self.core.lender].lender, "a request of no lender")

    @rule(11)
    def ev_11(self):
        """[EV-11] The state holds the request's audit key, which names itself so; Y is its."""
        number = self.core.audit_key_id
        k = self.held(formats.audit_key_key(number), formats.audit_key)
        need(k is not None and k.audit_key_id == number, "the request's audit key is not shown")
        self.y_bytes, self.y = k.y, group.decode(k.y)

    @rule(12)
    def ev_12(self):
        """[EV-12] No C1 or C2 repeats, and every item carries a proof of knowledge of its s, bound to the core."""
        encodings = [c for i in self.core.items for c in (i.c1, i.c2)]
        need(len(set(encodings)) == 8, "an item whose C1 or C2 stands twice")
        for i, (item, proof) in enumerate(zip(self.core.items, self.proofs)):
            item.c1_point, item.c2_point = elements(item.c1, item.c2)
            z = group.scalar(proof[32:])
            need(z is not None and group.decode(proof[:32]) is not None, "a proof of knowledge that does not decode")
            appended = [(b"binding", self.core_digest), (b"Y", self.y_bytes), (b"count", 4), (b"index", i), (b"C1", item.c1),
                        (b"C2", item.c2)]
            c = challenge(b"crypto/escrow-item", appended, [(b"R", proof[:32])])
            need(group.encode(z * group.G - c * item.c1_point) == proof[:32], "a proof of knowledge that does not hold")

    # What each item asks about

    def opened(self, i, opening):
        """The identifier of item i, checked for its form, and P; for a dummy None and the dummy element."""
        if opening.canonical is None:
            return None, DUMMY
        need(formats.is_canonical(i + 1, opening.canonical), "an identifier that is not in canonical form")
        x = identifier_input(i + 1, opening.canonical)
        return x, group.hash_to_group(x)

    def check_items(self, check):
        """One opening per item, at least one not a dummy; `check` judges each. Gives [(item number, x, opening)]."""
        openings = self.claim.items
        need(len(openings) == 4, "not one opening per item")
        need(any(o.canonical is not None for o in openings), "a request about nobody")
        asked = []
        for i, (opening, item) in enumerate(zip(openings, self.core.items)):
            x, p = self.opened(i, opening)
            check(i, item, opening, p)
            if x is not None:
                asked.append((i, x, opening))
        return asked

    def holds_p(self, tag, context_tag, i, item, opening, p, public, base):
        """Whether the opening's proof shows that item i holds p: log_G(public) = log_base(C2 - p)."""
        rest = item.c2_point - p
        need(group.encode(rest) != bytes(32), "an item without encryption")
        named = [(b"Y", self.y_bytes), (b"C1", item.c1), (b"C2", item.c2), (b"P", group.encode(p))]
        context = byte_string(TAG + context_tag) + self.chain_id + self.core_digest + u8(i)
        return equal_logs(tag, context, named, opening.proof, group.G, public, base, rest)

    @rule(13)
    def ev_13(self):
        """[EV-13] s opens each item to its identifier; a dummy's proof shows that it holds the dummy element."""
        def check(i, item, opening, p):
            if opening.canonical is not None:
                s = group.scalar(opening.s)
                need(s, "an s that is no scalar, or zero")
                need(group.encode(s * group.G) == item.c1, "an s that is not the item's")
                need(group.encode(p + s * self.y) == item.c2, "an item that asks about another person")
                return
            holds = self.holds_p(b"crypto/item-opening", b"chain/evidence-dummy", i, item, opening, p, item.c1_point, self.y)
            need(holds, "a dummy that is not shown to be one")
        self.asked = self.check_items(check)

    # Answers

    @rule(14)
    def ev_14(self):
        """[EV-14] The judged height is final, not above the state's, and in the request's period."""
        self.height = self.claim.judged_height
        h = self.final_header(self.height, "the judged block")
        need(self.height <= self.file.state.height, "a judged block above the state's")
        seconds = h.time_ms // 1000 - self.genesis.genesis_time_s
        need(seconds >= 0 and seconds // self.genesis.policy.period_s == self.core.period, "a judged block of another period")

    @rule(15)
    def ev_15(self):
        """[EV-15] The publishers are exactly the genesis' publishers, in its order."""
        publishers = [m.name for m in self.genesis.members if m.publisher]
        need([p.name for p in self.claim.publishers] == publishers, "not every publisher once, in order")

    @rule(16)
    def ev_16(self, p):
        """[EV-16] A stated reason is not empty and has characters of `a-z _ ( )` only."""
        if p.kind == "not proven":
            need(re.match(r"[a-z_()]+\Z", p.reason), "a reason that is none")

    def answers(self):
        self.ev_13()
        self.ev_14()
        self.ev_15()
        for p in self.claim.publishers:
            p.is_publisher = True
            self.ev_16(p)
        results = []
        for p in self.claim.publishers:
            results.append(self.publisher(p))
        if any(r["answer"] == "hit" for r in results):
            verdict = "hit"
        else:
            verdict = "clear" if all(r["answer"] == "clear" for r in results) else "incomplete"
        return {**self.words(verdict), "judged_height": self.height, "judged_time_ms": self.final[self.height][1].time_ms,
                "as_of": formats.day(self.claim.as_of), "publishers": results}

    # One publisher

    def publisher(self, p):
        """EV-20 to EV-31 for an evaluation, EV-20 and EV-21 for a refusal, nothing for what is not proven."""
        if p.kind == "not proven":
            return {"publisher": p.name, "answer": "not proven", "stated_reason": p.reason}
        p.envelope = self.ev_20(p, p.exchange)
        self.ev_21(p)
        if p.kind == "refused":
            return {"publisher": p.name, "answer": "refused", "status": p.response.status}
        for check in (self.ev_22, self.ev_23, self.ev_24, self.ev_25, self.ev_26, self.ev_27, self.ev_28):
            check(p)
        facts, expired = [], 0
        for i, x, opening in self.asked:
            out = self.output(p, i, x, opening)
            for slot in self.walk(p, out):
                label = self.ev_31(p, *slot)
                if label.expiry_day < self.claim.as_of:
                    expired += 1
                else:
                    facts.append(formats.fact(label, i + 1))
        answer = {"publisher": p.name, "answer": "hit" if facts else "clear", "batches": len(p.batches), "expired": expired}
        return {**answer, "facts": facts} if facts else answer

    @rule(20)
    def ev_20_decodes(self, shown):
        """[EV-20] An envelope of a log entry decodes: only then it has a publisher."""
        return formats.envelope(shown.envelope)

    @rule(20)
    def ev_20(self, p, shown):
        """[EV-20] The lender signed an envelope of this request to this publisher; gives it with its digest."""
        e = formats.envelope(shown.envelope)
        e.digest = tagged(b"exchange/envelope", shown.envelope)
        need(e.header == formats.ENVELOPE_HEADER, "another version, kind or suite")
        need(e.core_digest == self.core_digest, "an envelope of another request")
        need(e.proofs_digest == tagged(b"exchange/request-proofs", self.claim.proofs), "an envelope of other proofs")
        need(e.publisher == p.name, "an envelope to another publisher")
        need(e.period == self.core.period, "an envelope of another period")
        signed = self.signed(self.core.lender, b"exchange/envelope", shown.envelope, shown.signature)
        need(signed, "an envelope that the lender did not sign")
        return e

    def outcome_signed(self, publisher, envelope, status, response_digest, signature):
        return self.signed(publisher, b"exchange/outcome", envelope.digest + u8(status) + response_digest, signature)

    @rule(21)
    def ev_21(self, p):
        """[EV-21] The publisher signed a response to this envelope: an evaluation, or a refusal that is empty."""
        r = p.response = formats.response(p.exchange.response)
        need(len(r.z) == 4, "a response without 4 Z")
        need(r.core_digest == self.core_digest and r.envelope_digest == p.envelope.digest, "a response to another request")
        need(r.publisher == p.name, "a response of another publisher")
        need(r.period == self.core.period and r.k == p.envelope.k, "a response of another period or key")
        digest = tagged(b"exchange/response", p.exchange.response[:-64])
        need(self.outcome_signed(p.name, p.envelope, r.status, digest, r.signature), "a response that is not signed by it")
        if p.kind == "evaluated":
            need(r.status == 0, "a refusal, not an evaluation")
        else:
            need(1 <= r.status <= 20, "a refusal without a reason")
            need(not any(b"".join(r.z) + r.proof), "a refusal that carries an evaluation")

    @rule(22)
    def ev_22(self, p):
        """[EV-22] The publisher's tip is final and not above the judged height."""
        need(p.response.tip_height <= self.height, "a tip above the judged block")
        self.final_header(p.response.tip_height, "the publisher's tip")
        need(self.final[p.response.tip_height][0] == p.response.tip_header_hash, "a tip of another chain")

    @rule(23)
    def ev_23(self, p):
        """[EV-23] As of h, the chain holds the envelope's K, its snapshot sealed, not revoked."""
        k = p.key = self.held(formats.period_key_key(self.core.period, p.name), formats.period_key)
        need(k is not None, "its period key is not shown")
        need(k.k == p.envelope.k, "another key than the chain's")
        need(k.announced_at <= self.height, "a key that was announced later")
        need(k.sealed is not None and k.sealed.height <= self.height, "a snapshot that was not sealed")
        need(not k.revoked, "a key that was revoked")

    @rule(24)
    def ev_24(self, p):
        """[EV-24] The state holds the binding of K to the audit key, and its proof holds."""
        number = self.core.audit_key_id
        b = self.held(formats.binding_key(self.core.period, p.name, number), formats.binding)
        need(b is not None, "its key's binding is not shown")
        k = p.key.k
        need(k not in (group.G_BYTES, self.y_bytes), "a key that is G or Y")
        p.k_point, p.k_y = elements(k, b.k_y)
        context = b"".join([byte_string(TAG + b"exchange/key-binding"), self.chain_id, byte_string(p.name),
                            u32(self.core.period), u32(p.key.key_serial), u32(number)])
        named = [(b"Y", self.y_bytes), (b"K", k), (b"K_Y", b.k_y)]
        holds = equal_logs(b"crypto/key-binding", context, named, b.proof, group.G, p.k_point, self.y, p.k_y)
        need(holds, "a binding whose proof does not hold")

    @rule(25)
    def ev_25(self, p):
        """[EV-25] Every Z is K's evaluation of its C2: RFC 9497's proof over sums weighted by the whole transcript."""
        p.z = elements(*p.response.z)
        need(all(z is not None for z in p.z), "a Z that is no element")
        t = Transcript(TAG + b"crypto/evaluation")
        t.append(b"chain id", self.chain_id)
        t.append(b"publisher", p.name.encode())
        t.append_u64(b"period", self.core.period)
        t.append(b"K", p.key.k)
        t.append(b"core", self.core_digest)
        t.append(b"envelope", p.envelope.digest)
        t.append_u64(b"count", 4)
        t.append(b"C2", b"".join(i.c2 for i in self.core.items))
        t.append_u64(b"count", 4)
        t.append(b"Z", b"".join(p.response.z))
        bytes_ = t.challenge(b"weights", 64)
        weights = [int.from_bytes(bytes_[i:i + 16], "little") for i in range(0, 64, 16)]
        m = sum((w * i.c2_point for w, i in zip(weights, self.core.items)), group.IDENTITY)
        zc = sum((w * z for w, z in zip(weights, p.z)), group.IDENTITY)
        m_bytes, zc_bytes = group.encode(m), group.encode(zc)
        need(bytes(32) not in (m_bytes, zc_bytes), "weighted sums that are the identity")
        c, s = scalars(p.response.proof)
        k = len16(p.key.k)
        seed = hashlib.sha512(k + len16(b"Seed-" + group.CTX)).digest()
        d = group.hash_to_scalar(len16(seed) + b"\0\0" + len16(m_bytes) + len16(zc_bytes) + b"Composite")
        m, zc = d * m, d * zc
        t2, t3 = s * group.G + c * p.k_point, s * m + c * zc
        hashed = k + b"".join(len16(group.encode(e)) for e in (m, zc, t2, t3)) + b"Challenge"
        need(group.hash_to_scalar(hashed) == c, "an evaluation whose proof does not hold")

    @rule(26)
    def ev_26(self, p):
        """[EV-26] The openings are of exactly the batches that the chain counted at h, and at the tip as many as it said."""
        n = len(p.batches)
        held = lambda i: self.held(formats.batch_key(self.core.period, p.name, i), formats.batch)
        p.states = [held(i) for i in range(n)]
        need(all(b is not None for b in p.states), "a batch that is not shown")
        need(all(b.height <= self.height for b in p.states), "a batch from after the judged block")
        if p.key.batch_count != n:
            later = held(n)
            need(later is not None and later.height > self.height, "a batch of the judged block that is left out")
        at_tip = sum(b.height <= p.response.tip_height for b in p.states)
        need(at_tip == p.response.last_batch_seq, "another number of batches at its tip than it stated")

    @rule(27)
    def ev_27(self, p):
        """[EV-27] The sealed snapshot is of the first of these batches."""
        sealed = p.key.sealed
        need(sealed.batch_count <= len(p.states), "a snapshot of more batches")
        need(sealed.root == tree_root([b.root for b in p.states[:sealed.batch_count]]), "a snapshot of other batches")

    @rule(28)
    def ev_28(self, p):
        """[EV-28] Opened rows ascend by index and tag, and are included under their batch's root."""
        for rows, b in zip(p.batches, p.states):
            before = None
            for r in rows:
                ascends = before is None or (before.index < r.index and before.row[:16] < r.row[:16])
                need(ascends, "opened rows out of order")
                need(included(leaf(r.row), r.index, b.count, r.path, b.root), "a row that is not the batch's")
                before = r

    @rule(29)
    def output(self, p, i, x, opening):
        """[EV-29] N = Z - s*K_Y, not the identity, and the OPRF's output."""
        n = group.encode(p.z[i] - group.scalar(opening.s) * p.k_y)
        need(n != bytes(32), "an output that is the identity")
        return hashlib.sha512(len16(x) + len16(n) + b"Finalize").digest()

    def walk(self, p, out):
        """[EV-29], [EV-30] Slots until four in a row are not used; gives (row, key) of those that are."""
        used, unused = [], 0
        salt = b"".join([byte_string(TAG + b"exchange/period-salt"), self.chain_id, byte_string(p.name),
                         u32(self.core.period), u32(p.key.key_serial)])
        for j in range(SLOTS):
            okm = hkdf_sha512(salt, out, TAG + b"crypto/slot" + u8(j), 48)
            row = self.ev_29(p, okm[:16])
            if row is None:
                unused += 1
                if unused == UNUSED_IN_A_ROW:
                    break
            else:
                self.ev_30(p, unused)
                used.append((row, okm[16:]))
        return used

    @rule(29)
    def ev_29(self, p, tag):
        """[EV-29] Every batch decides this tag: the row that has it, or None if every batch shows that it has none."""
        for rows, b in zip(p.batches, p.states):
            below = [r for r in rows if r.row[:16] < tag]
            rest = rows[len(below):]
            if rest and rest[0].row[:16] == tag:
                return rest[0].row
            low, high = below[-1].index if below else -1, rest[0].index if rest else b.count
            need(below or rest, "a batch that decides nothing")
            need(high == low + 1, "a batch that does not decide a slot")
        return None

    @rule(30)
    def ev_30(self, p, unused_before):
        """[EV-30] No used slot follows one that is not."""
        need(unused_before == 0, "a used slot after one that is not")

    @rule(31)
    def ev_31(self, p, row, key):
        """[EV-31] A present row opens under its slot's key, to a label."""
        tag = row[:16]
        t = TAG + b"crypto/sealed-label"
        a = byte_string(TAG + b"exchange/label-aad") + self.chain_id + byte_string(p.name) + u32(self.core.period) + tag
        aad = len16(t) + len(a).to_bytes(8, "big") + a + tag
        opened = aesgcm.open_sealed(key, row[16:28], row[28:76], row[76:], aad)
        need(opened is not None, "a row that does not open")
        return formats.label(opened)

    # Log entry

    def log_entry(self):
        self.ev_41()
        self.ev_42()
        queries = self.ev_43(self.core.lender, self.claim.queries, formats.LOG_QUERIES)
        receipts, before = [], None
        for shown in self.claim.envelopes:
            name = self.ev_20_decodes(shown).publisher
            self.ev_47_publisher(name)
            p = formats.Record(name=name, is_publisher=True)
            envelope = self.ev_20(p, shown)
            self.ev_47_order(name, before)
            before = name
            self.ev_44(p, shown, envelope, queries)
            self.ev_45(p, shown, envelope)
            self.ev_46(p, shown, envelope)
            receipts.append({"publisher": p.name, "receipt": shown.receipt is not None,
                             "outcome": shown.outcome and shown.outcome.status})
        self.ev_47_any()
        return {**self.words("logged"), "logged_height": self.claim.queries.height, "windows": [queries.first_window,
                queries.last_window], "consent_digest": self.claim.consent_digest.hex(), "envelopes": receipts}

    @rule(41)
    def ev_41(self):
        """[EV-41] A proof by the audit key shows what each item asks about, or that it is a dummy."""
        def check(i, item, opening, p):
            holds = self.holds_p(b"crypto/item-decryption", b"chain/evidence-subject", i, item, opening, p, self.y, item.c1_point)
            need(holds, "an item that is not shown to ask this")
        self.asked = self.check_items(check)

    @rule(42)
    def ev_42(self):
        """[EV-42] The request commits to this consent."""
        shown = tagged(b"exchange/consent-commit", self.claim.consent_salt, self.claim.consent_digest)
        need(shown == self.core.consent_commit, "another consent than the request's")

    @rule(43)
    def ev_43(self, member, logged, kind):
        """[EV-43] The lender's log transaction stands in a final block, applied."""
        return self.logged(member, logged, kind)

    def logged(self, member, logged, kind):
        """*Logged* by a member: the body of its signed transaction, included and applied in a final block."""
        h = self.final_header(logged.height, "the block of the log")
        proof, data = logged.inclusion, logged.transaction
        need(included(leaf(data), proof.index, proof.size, proof.path, h.tx_root), "a transaction that is not in its block")
        proof, receipt = logged.receipt, tagged(b"chain/tx-id", data) + b"\0\0"
        need(included(leaf(receipt), proof.index, proof.size, proof.path, h.receipts_root), "a transaction that was not applied")
        t = formats.log_transaction(data)
        need(t.chain_id == self.chain_id, "a transaction of another chain")
        need(t.sender == member and t.kind == kind, "a transaction of another member or kind")
        need(self.signed(member, b"chain/tx-signature", data[:-64], t.signature), "a transaction that its sender did not sign")
        return t.body

    @rule(47)
    def ev_47_publisher(self, name):
        """[EV-47] An envelope's publisher is a member with the role publisher."""
        need(name in self.members and self.members[name].publisher, "an envelope to no publisher")

    @rule(47)
    def ev_47_order(self, name, before):
        """[EV-47] The envelopes' publishers ascend strictly."""
        need(before is None or before < name, "envelopes out of order")

    @rule(47)
    def ev_47_any(self):
        """[EV-47] There is at least one envelope."""
        need(self.claim.envelopes, "no envelope")

    def logged_leaf(self, tag, envelope, proof, body):
        d = leaf(tagged(tag, envelope.salt, envelope.digest))
        return proof.size == body.count and included(d, proof.index, proof.size, proof.path, body.root)

    @rule(44)
    def ev_44(self, p, shown, envelope, queries):
        """[EV-44] The envelope's leaf is in the lender's log."""
        need(self.logged_leaf(b"exchange/query-leaf", envelope, shown.leaf, queries), "an envelope that the lender did not log")

    @rule(45)
    def ev_45(self, p, shown, envelope):
        """[EV-45] An outcome is signed by the publisher."""
        o = shown.outcome
        if o is not None:
            need(self.outcome_signed(p.name, envelope, o.status, o.response_digest, o.signature), "an outcome that it did not sign")

    @rule(46)
    def ev_46(self, p, shown, envelope):
        """[EV-46] A receipt is logged by the publisher, and the envelope's leaf is in it."""
        if shown.receipt is not None:
            body = self.logged(p.name, shown.receipt.logged, formats.LOG_RECEIPTS)
            holds = self.logged_leaf(b"exchange/receipt-leaf", envelope, shown.receipt.leaf, body)
            need(holds, "an envelope that the publisher did not log")

    def words(self, verdict):
        """What both claims prove about the request."""
        asked = [{"type": formats.ID_TYPES[i + 1], "identifier": o.canonical.decode()} for i, _, o in self.asked]
        return {"verdict": verdict, "chain_id": self.chain_id.hex(), "network": self.genesis.network, "lender": self.core.lender,
                "issued_at_s": self.core.issued_at_s, "purpose": self.core.purpose, "period": self.core.period,
                "core_digest": self.core_digest.hex(), "asked": asked, "state_height": self.file.state.height}


def verify(data, trusted):
    """What the file proves; Refused if a rule does not hold."""
    return Verifier(data, trusted).run()
