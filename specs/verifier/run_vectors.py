#!/usr/bin/env python3
"""Runs the second verifier over every vector of specs/vectors/evidence and demands the verdict that index.tsv states.

    python3 specs/verifier/run_vectors.py

First the primitives against the published vectors beside it. Exit 0 only if everything agrees, every file of the directory is named in
the index, and at least one good and one bad file ran.
"""
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.dont_write_bytecode = True

import aesgcm  # noqa: E402
import group  # noqa: E402
import rules  # noqa: E402
from transcript import Transcript  # noqa: E402

VECTORS = os.path.join(HERE, "..", "vectors")
GOOD = {"hit", "clear", "incomplete", "logged"}


def read(*names):
    with open(os.path.join(VECTORS, *names), "rb") as f:
        return f.read()


def primitives():
    """Gives (name, whether it agrees) for every vector that a primitive of ours has."""
    unhex = bytes.fromhex
    ristretto = json.loads(read("rfc9496_ristretto255.json"))
    point = group.IDENTITY
    for i, h in enumerate(ristretto["A1_multiples_of_generator"]):
        decodes = i == 0 or group.decode(unhex(h)) == point
        yield "multiple of G", group.encode(point).hex() == h and decodes
        point = point + group.G
    for v in ristretto["A2_bad_encodings"]:
        yield "bad encoding", group.decode(unhex(v["encoding"])) is None
    for v in ristretto["A3_one_way_map"]:
        yield "one-way map", group.encode(group.from_uniform(unhex(v["sha512"]))).hex() == v["element"]
    xmd = json.loads(read("rfc9380_expand_message_xmd_SHA512_38.json"))
    for v in xmd["tests"]:
        out = group.expand_message_xmd(v["msg"].encode(), xmd["DST"].encode(), int(v["len_in_bytes"], 16))
        yield "expand_message_xmd", out.hex() == v["uniform_bytes"]
    for v in json.loads(read("merlin_transcript.json"))["cases"]:
        t = Transcript(v["init_label"].encode())
        for o in v["ops"]:
            label = o["label"].encode()
            if o["op"] == "append_u64":
                t.append_u64(label, int(o["value"], 16))
            elif o["op"] == "append_message":
                repeated = o.get("message_repeat")
                t.append(label, bytes([repeated["byte"]]) * repeated["count"] if repeated else unhex(o["message_hex"]))
            else:
                yield "merlin " + v["name"], t.challenge(label, o["len"]).hex() == o["result_hex"]
    for name in os.listdir(os.path.join(VECTORS, "wycheproof")):
        if not name.endswith(".json"):
            continue
        for g in json.loads(read("wycheproof", name))["testGroups"]:
            for v in g["tests"]:
                if name.startswith("aes_gcm") and (g["keySize"], g["ivSize"], g["tagSize"]) == (256, 96, 128):
                    opened = aesgcm.open_sealed(*(unhex(v[k]) for k in ("key", "iv", "ct", "tag", "aad")))
                    yield f"AES-GCM {v['tcId']}", opened == (unhex(v["msg"]) if v["result"] == "valid" else None)
                if name.startswith("ed25519"):
                    public, message, signature = unhex(g["publicKey"]["pk"]), unhex(v["msg"]), unhex(v["sig"])
                    valid = v["result"] == "valid"
                    yield f"Ed25519 {v['tcId']}", group.ed25519_strict(public, message, signature) == valid
                    # ZIP 215 reads a point that is not canonical.
                    if valid or "InvalidEncoding" not in v["flags"]:
                        yield f"ZIP 215 {v['tcId']}", group.ed25519_zip215(public, message, signature) == valid


def evidence():
    """Gives (file, verdict or rule that the index states, ours, in words)."""
    lines = [line.split("\t") for line in read("evidence", "index.tsv").decode().splitlines()]
    chain_id = bytes.fromhex(dict(lines)["chain_id"])
    for name, expected in lines:
        if name == "chain_id":
            continue
        try:
            got, words = rules.verify(read("evidence", name), chain_id)["verdict"], ""
        except rules.Refused as e:
            got, words = e.rule, e.reason + (f" ({e.publisher})" if e.publisher else "")
        yield name, expected, got, words
    named = {name for name, _ in lines}
    for name in sorted(os.listdir(os.path.join(VECTORS, "evidence"))):
        if name.endswith(".evidence") and name not in named:
            yield name, "a line in index.tsv", "none", ""


def main():
    start, failed, ran = time.monotonic(), 0, 0
    for name, agrees in primitives():
        ran += 1
        failed += not agrees
        if not agrees:
            print(f"DISAGREES  {name}")
    print(f"primitives: {ran - failed} of {ran} agree")
    good = bad = agreeing = 0
    for name, expected, got, words in evidence():
        good, bad, agreeing = good + (expected in GOOD), bad + (expected not in GOOD), agreeing + (got == expected)
        print(f"{'agrees   ' if got == expected else 'DISAGREES'}  {name}: {got}{f', {words}' if words else ''}"
              + ("" if got == expected else f"; the index states {expected}"))
    print(f"evidence: {agreeing} of {good + bad} agree, {good} good and {bad} bad, {time.monotonic() - start:.1f} s")
    return 0 if ran and not failed and good and bad and agreeing == good + bad else 1


if __name__ == "__main__":
    sys.exit(main())
