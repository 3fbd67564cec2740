#!/usr/bin/env python3
"""Verifies an evidence file of Riskveil offline, and says in plain words what it proves.

    python3 specs/verifier/verify_evidence.py FILE --chain-id HEX [--json]

The second verifier: written from specs/evidence.md alone, in Python 3.9 or newer with nothing but its standard library. It trusts the
chain id and nothing else. Exit codes: 0 it holds, 1 a rule refuses it, 2 it is no evidence file (EV-1) or cannot be read.
"""
import argparse
import datetime
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import rules  # noqa: E402

PURPOSES = {1: "pre_loan_approval", 2: "post_loan_management", 3: "guarantor_check", 4: "dispute_check", 5: "subject_access"}
REFUSALS = ["", "not_a_lender", "wrong_period", "period_over", "audit_key_not_current", "expired", "clock_skew", "replayed",
            "before_restart", "malformed", "proof_invalid", "seal_length", "wrong_key", "quota_exceeded", "log_overdue", "not_ready",
            "no_audit_binding", "overloaded", "purpose_not_allowed", "signature_invalid", "not_addressed"]
NOT_PROVEN = {
    "answers": "that nothing was added later; that a publisher's records are true; that lender and responder did not collude outside "
               "the system; the business date, which whoever made the file states; anything about a publisher that refused or is not "
               "proven.",
    "logged": "what was answered; whether others were asked; that who shows no receipt has none.",
}


def utc(seconds):
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"second {seconds}"


def shortened(identifier):
    return identifier[:4] + "*" * (len(identifier) - 8) + identifier[-4:]


def say_publisher(p):
    name, answer = p["publisher"], p["answer"]
    if answer == "not proven":
        return [f"{name}: NOTHING IS PROVEN; stated reason: {p['stated_reason']}."]
    if answer == "refused":
        return [f"{name}: REFUSED, under its signature: {REFUSALS[p['status']]}."]
    shown = f"in all {p['batches']} batches; {p['expired']} more had expired and do not count"
    if answer == "clear":
        return [f"{name}: CLEAR, proven: no record of any of these identifiers {shown}."]
    lines = [f"{name}: HIT, {len(p['facts'])} records, proven {shown}."]
    for fact in p["facts"]:
        words = [f"{fact['category']}, severity {fact['severity']}, on {fact['event_day']}"]
        if "days" in fact:
            words.append(f"days overdue {fact['days']}, amount {fact['amount']}")
        words.append(f"found by {fact['found_by']}{' (weak)' if fact['weak'] else ''}")
        lines.append("  - " + ", ".join(words))
    return lines


def say_envelope(e):
    answered = "it signed that it evaluated it" if e["outcome"] == 0 else None
    if e["outcome"]:
        answered = f"it signed that it did not evaluate it (status {e['outcome']})"
    receipt = "its log holds the receipt" if e["receipt"] else "no receipt of it is shown"
    return f"Sent to {e['publisher']}: {'; '.join(filter(None, [answered or 'no answer of it is shown', receipt]))}."


def say(p):
    """What is proven, line by line."""
    about = ", ".join(f"{a['type']} {shortened(a['identifier'])}" for a in p["asked"])
    lines = [f"{p['lender']} asked on chain {p['chain_id']} (network {p['network']}), at {utc(p['issued_at_s'])} by its own clock, "
             f"for {PURPOSES[p['purpose']]}, about: {about}."]
    if p["verdict"] == "logged":
        lines.append(f"Its log of windows {p['windows'][0]} to {p['windows'][1]}, in block {p['logged_height']}, holds this query, bound "
                     f"to the consent {p['consent_digest']}.")
        lines += [say_envelope(e) for e in p["envelopes"]]
    else:
        lines.append(f"As of block {p['judged_height']} ({utc(p['judged_time_ms'] // 1000)}), for the stated business date {p['as_of']}:")
        for publisher in p["publishers"]:
            lines += say_publisher(publisher)
        lines.append({"hit": "In one word: HIT. At least one publisher held a record.",
                      "clear": "In one word: CLEAR. No publisher held a record.",
                      "incomplete": "In one word: INCOMPLETE. Nothing is proven of at least one publisher."}[p["verdict"]])
    lines.append("Not proven: " + NOT_PROVEN.get(p["verdict"], NOT_PROVEN["answers"]))
    lines.append("This rests on: the chain id is trusted; fewer than a third of each term's validators were Byzantine, departed "
                 "validators' keys included.")
    return lines


def chain_id(text):
    value = bytes.fromhex(text)
    if len(value) != 32:
        raise ValueError
    return value


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", metavar="FILE")
    parser.add_argument("--chain-id", required=True, type=chain_id, metavar="HEX", help="the trusted chain id, 64 hex digits")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    try:
        with open(options.file, "rb") as f:
            data = f.read(rules.formats.FILE_MAX + 1)
    except OSError as e:
        print(f"cannot be read: {e}", file=sys.stderr)
        return 2
    try:
        proven = rules.verify(data, options.chain_id)
    except rules.Refused as e:
        if options.json:
            print(json.dumps({"verified": False, "rule": e.rule, "publisher": e.publisher, "reason": e.reason}))
        else:
            print("REFUSED: this file proves nothing.")
            print(f"[{e.rule}] {e.reason}{f' ({e.publisher})' if e.publisher else ''}")
        return 2 if e.rule == "EV-1" else 1
    if options.json:
        print(json.dumps({"verified": True, **proven}))
    else:
        print("VERIFIED", *say(proven), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
