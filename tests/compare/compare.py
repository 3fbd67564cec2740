#!/usr/bin/env python3
"""Times two public packages for private set intersection, spu and openmined-psi, on the same two sets of identifiers.

The client (rank 0) learns the intersection, the server (rank 1) nothing. Each party of spu is a process on 127.0.0.1.
"""

import argparse
import contextlib
import datetime
import importlib.metadata
import json
import math
import operator
import os
import random
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLES = """examples:
  compare.sh                                                    both default sizes, all protocols
  compare.sh --client 10000 --server 10000                      a quick look
  compare.sh --only spu-rr22,openmined --json figures.json
  compare.sh --venv ~/psi-venv --ours ours.txt                  keeps the environment; ours.txt is printed beneath the table
  compare.sh --client 1000000 --server 10000000 --timeout 7200  large sets

The exit code is 1 if any run failed or found anything but the expected intersection."""

SIDES = ("client", "server")
# Of each protocol: its stages in order, each with the sides that take part and what its cost is divided by.
SPU = {
    "spu-rr22": [("whole", SIDES, "element")],
    "spu-kkrt": [("whole", SIDES, "element")],
    "spu-ecdh": [("whole", SIDES, "element")],
    "spu-ub": [("offline_gen_cache", SIDES[1:], "record"), ("offline_transfer_cache", SIDES, "record"), ("online", SIDES, "item")],
}
OPENMINED = [("setup", "server", "record"), ("request", "client", "item"), ("process", "server", "item"), ("intersect", "client", "item")]
STRUCTURES = {"openmined": "GCS", "openmined-raw": "RAW"}  # how openmined packs the server's set; GCS is its default
FALSE_POSITIVES = 1e-9  # of openmined: the chance that a whole request finds an item that is not there

DAYS = [(datetime.date(1950, 1, 1) + datetime.timedelta(d)).strftime("%Y%m%d") for d in range(20_000)]
AREAS = range(110_000, 660_000)
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


class Failed(Exception):
    """A run that gave no result, or a wrong one; the text says why."""


def identifiers(seed, start, count):
    """Distinct 18-character strings built like resident ids: area, birthday, serial number, check character of GB 11643."""
    space, chance = len(AREAS) * len(DAYS) * 1000, random.Random(seed)
    offset, step = chance.randrange(space), chance.randrange(space)
    while math.gcd(step, space) != 1:
        step += 1
    for i in range(start, start + count):
        rest, serial = divmod((offset + i * step) % space, 1000)
        area, day = divmod(rest, len(DAYS))
        head = f"{AREAS[area]}{DAYS[day]}{serial:03}"
        yield head + "10X98765432"[sum(map(operator.mul, WEIGHTS, map(int, head))) % 11]


def write_sets(folder, seed, sizes, overlap):
    """The server's set begins with the last `overlap` identifiers of the client's."""
    for side, start in (("client", 0), ("server", sizes["client"] - overlap)):
        with open(folder / f"{side}.csv", "w") as out:
            out.write("id\n")
            out.writelines(f"{i}\n" for i in identifiers(seed, start, sizes[side]))


def read_set(path):
    return Path(path).read_text().split()[1:]


# ---- what a child process does: one party of spu, or both sides of openmined in turn ----


def cpu_seconds():
    """User and system time of this process and of the programs it ran: spu sorts with sort(1)."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in usages)


def measure(action):
    cpu, start = cpu_seconds(), time.monotonic()
    result = action()
    return result, {"start": start, "end": time.monotonic(), "cpu": cpu_seconds() - cpu}


def received_bytes():
    """tcpi_bytes_received (at 128 in struct tcp_info) of every connected TCP socket of this process, by socket inode."""
    received = {}
    for fd in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            name = os.readlink(f"/proc/self/fd/{fd}")
            if name.startswith("socket:"):
                with socket.socket(fileno=os.dup(int(fd))) as s:
                    if s.type == socket.SOCK_STREAM and s.family == socket.AF_INET and s.getpeername():
                        received[name] = struct.unpack_from("Q", s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 128)[0]
    return received


def spu_action(spec, psi, context):
    """keys_unique and disable_alignment spare spu work on its files that is not part of the protocol."""
    files = {
        "input_params": psi.InputParams(path=spec["input"], selected_keys=["id"], keys_unique=True),
        "output_params": psi.OutputParams(path=spec["output"], disable_alignment=True),
    }
    if spec["protocol"] == "spu-ub":
        mode, role = psi.parse_ub_psi_mode(f"MODE_{spec['stage'].upper()}"), psi.parse_ub_psi_role(f"ROLE_{spec['side'].upper()}")
        config = psi.UbPsiExecuteConfig(mode=mode, role=role, cache_path=spec["cache"], client_receive_result=True, **files)
        return lambda: psi.ub_psi_execute(config, context)
    protocol = psi.parse_protocol(spec["protocol"].upper().replace("SPU-", "PROTOCOL_"))
    ecdh = psi.EcdhParams(curve=psi.EllipticCurveType.CURVE_25519)
    config = psi.PsiExecuteConfig(psi.PsiProtocolConfig(protocol=protocol, receiver_rank=0, ecdh_params=ecdh), **files)
    return lambda: psi.psi_execute(config, context)


def spu_party(spec):
    """Counts bytes by its sockets, since the link context of 0.9.5 shows no statistics in Python."""
    import spu.libspu
    import spu.psi

    description = spu.libspu.link.Desc()
    description.id = "compare"
    description.recv_timeout_ms = description.http_timeout_ms = spec["timeout"] * 1000
    for rank, port in enumerate(spec["ports"]):
        description.add_party(f"party{rank}", f"127.0.0.1:{port}")
    context = spu.libspu.link.create_brpc(description, spec["rank"])
    context.barrier()
    before = received_bytes()
    _, figures = measure(spu_action(spec, spu.psi, context))
    context.barrier()
    after = received_bytes()
    if before.keys() - after.keys():
        raise Failed("a connection was closed during the run, so its bytes are not known")
    context.stop_link()
    return [figures | {"bytes": sum(after.values()) - sum(before.values())}]


def openmined_sides(spec):
    """One stage after another in one process; the two sides meet only through serialized messages."""
    import private_set_intersection.python as psi

    ours, theirs = read_set(spec["client"]), read_set(spec["server"])
    client, server = psi.client.CreateWithNewKey(True), psi.server.CreateWithNewKey(True)
    structure = psi.DataStructure[spec["structure"]]
    setup, first = measure(lambda: server.CreateSetupMessage(FALSE_POSITIVES, len(ours), theirs, structure).SerializeToString())
    request, second = measure(lambda: client.CreateRequest(ours).SerializeToString())
    response, third = measure(lambda: server.ProcessRequest(psi.Request.FromString(request)).SerializeToString())
    found, last = measure(lambda: client.GetIntersection(psi.ServerSetup.FromString(setup), psi.Response.FromString(response)))
    Path(spec["output"]).write_text("\n".join(["id", *(ours[i] for i in found)]))
    return [figures | {"bytes": len(message)} for figures, message in ((first, setup), (second, request), (third, response), (last, b""))]


def child(spec):
    """Leaves its figures, or why there are none, in the file that the parent reads. The alarm ends it should the parent be gone."""
    signal.alarm(spec["timeout"] + 60)
    try:
        stages = openmined_sides(spec) if spec["protocol"] in STRUCTURES else spu_party(spec)
        answer = {"stages": stages, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {' '.join(str(error).split('stacktrace')[0].split())}"}
    Path(spec["answer"]).write_text(json.dumps(answer))
    return int("error" in answer)


# ---- what the parent does ----


def run_children(specs, timeout, folder):
    """The children's answers and logs. When one fails, or at the time limit, the others are ended; none outlives this call."""
    children, deadline = [], time.monotonic() + timeout
    try:
        for spec in specs:
            with open(spec["answer"] + ".log", "w") as log:
                command = [sys.executable, __file__, "--child", json.dumps(spec)]
                environment = os.environ | {"TMPDIR": str(folder)}
                children.append(subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True))
        codes = [None]
        while None in codes and not any(codes):
            if time.monotonic() > deadline:
                raise Failed(f"not finished within {timeout} s")
            time.sleep(0.02)
            codes = [c.poll() for c in children]
    finally:
        for c in children:
            if c.poll() is None:
                os.killpg(c.pid, signal.SIGKILL)
            c.wait()
        logs = [Path(spec["answer"] + ".log").read_text(errors="replace") for spec in specs[: len(children)]]
        for trace in re.findall(r"Trace has been written to (/tmp/psi_\S+\.trace)", "".join(logs)):
            Path(trace).unlink(missing_ok=True)

    for spec, code, log in zip(specs, codes, logs):
        if code:
            answer = Path(spec["answer"])
            reason = json.loads(answer.read_text()).get("error") if answer.exists() else "".join(log.strip().split("\n")[-1:])
            raise Failed(f"{spec.get('side', 'its process')} ended with {code}: {reason}")
    return [json.loads(Path(spec["answer"]).read_text()) for spec in specs], "".join(logs)


def free_ports(count):
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


def logged(logs):
    """From spu's own log: the arithmetic it chose, and how long the protocol took apart from reading and writing files."""
    notes = sorted({name.lower() for name in re.findall(r"\] (?:Using|use) (\w+)", logs)})
    moments = re.findall(r"\[(\S+ \S+)\] .*Psi(?:Receiver|Sender)::Online\] (?:start|end)", logs)
    if moments:
        times = [datetime.datetime.fromisoformat(m) for m in moments]
        notes.append(f"of it online {(max(times) - min(times)).total_seconds():.2f} s wall")
    return ", ".join(notes)


def row(stage, unit, figures, sizes, peak, note=""):
    """figures: of each side that took part. An element is one of either set, a record the server's, an item the client's."""
    units = {"element": sum(sizes.values()), "record": sizes["server"], "item": sizes["client"]}[unit]
    cpu = {side: figures[side]["cpu"] if side in figures else 0.0 for side in SIDES}
    wall = max(f["end"] for f in figures.values()) - min(f["start"] for f in figures.values())
    wire = sum(f["bytes"] for f in figures.values())
    row = {"stage": stage, "wall_s": wall, "cpu_client_s": cpu["client"], "cpu_server_s": cpu["server"], "bytes": wire, "per": unit}
    return row | {"cpu_us_per": sum(cpu.values()) / units * 1e6, "bytes_per": wire / units, "peak_mib": peak, "note": note}


def run_spu(protocol, sizes, folder, timeout):
    """Gives each protocol links to the input, since spu leaves notes beside it that would spare the next one work."""
    for side in SIDES:
        os.link(folder / f"{side}.csv", folder / f"{protocol}.{side}.input")
    for stage, sides, unit in SPU[protocol]:
        common = {"protocol": protocol, "stage": stage, "ports": free_ports(len(sides)), "timeout": timeout}
        specs = []
        for rank, side in enumerate(sides):
            paths = {kind: str(folder / f"{protocol}.{side}.{kind}") for kind in ("input", "output", "cache")}
            specs.append({**common, **paths, "side": side, "rank": rank, "answer": str(folder / f"{protocol}.{side}.{stage}")})
        answers, logs = run_children(specs, timeout, folder)
        figures = {side: answer["stages"][0] for side, answer in zip(sides, answers)}
        yield row(stage, unit, figures, sizes, max(a["peak_mib"] for a in answers), logged(logs))


def run_openmined(protocol, sizes, folder, timeout):
    paths = {"client": "client.csv", "server": "server.csv", "output": f"{protocol}.client.output", "answer": protocol}
    spec = {"protocol": protocol, "structure": STRUCTURES[protocol], "timeout": timeout} | {k: str(folder / v) for k, v in paths.items()}
    (answer,), _ = run_children([spec], timeout, folder)
    for (stage, side, unit), figures in zip(OPENMINED, answer["stages"]):
        yield row(stage, unit, {side: figures}, sizes, answer["peak_mib"])


def run_protocol(protocol, sizes, expected, folder, timeout):
    """Its rows; the last one says whether the client found exactly the expected identifiers."""
    rows, run = [], run_openmined if protocol in STRUCTURES else run_spu
    try:
        for one in run(protocol, sizes, folder, timeout):
            rows.append(one | {"result": "done"})
        found = read_set(folder / f"{protocol}.client.output")
        rows[-1]["result"] = f"exact: {len(found):,} found"
        if len(found) != len(expected) or set(found) != expected:
            rows[-1]["result"] = f"FAILED: {len(found):,} found are not the {len(expected):,} expected"
    except (Failed, OSError) as error:
        rows.append({"stage": "-", "result": f"FAILED: {error}"})
    return [{"protocol": protocol, **sizes} | r for r in rows]


def table(rows):
    lines = [("protocol", "stage", "wall s", "CPU client s", "CPU server s", "MB on wire", "peak MiB", "CPU us", "bytes", "per", "result")]
    for r in rows:
        numbers = ["-"] * 8
        if "wall_s" in r:
            numbers = [f"{r[k]:.2f}" for k in ("wall_s", "cpu_client_s", "cpu_server_s")] + [f"{r['bytes'] / 1e6:.2f}", str(r["peak_mib"])]
            numbers += [f"{r['cpu_us_per']:.2f}", f"{r['bytes_per']:.1f}", r["per"]]
        lines.append((r["protocol"], r["stage"], *numbers, "; ".join(filter(None, (r["result"], r.get("note"))))))
    widths = [max(map(len, column)) for column in zip(*lines)]
    aligned = [[c.rjust(w) if 2 <= i <= 8 else c.ljust(w) for i, (c, w) in enumerate(zip(line, widths))] for line in lines]
    return "\n".join("  ".join(line).rstrip() for line in aligned)


def machine():
    """With what the figures were made. Wall time on a busy machine says little, hence the load."""
    cpu = re.search(r"model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text())
    about = {"cores": os.cpu_count(), "cpu": cpu and cpu.group(1), "load": round(os.getloadavg()[0], 2), "python": sys.version.split()[0]}
    try:
        return about | {package: importlib.metadata.version(package) for package in ("spu", "openmined-psi")}
    except importlib.metadata.PackageNotFoundError as missing:
        sys.exit(f"compare.py: {missing.name} is not installed for this Python; compare.sh installs it in an environment of its own.")


def arguments():
    names = [*SPU, *STRUCTURES]
    parser = argparse.ArgumentParser(description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--client", type=int, default=100_000, metavar="N", help="size of the client's set (default 100000)")
    sizes = [100_000, 1_000_000]
    parser.add_argument("--server", type=int, nargs="+", default=sizes, metavar="M", help=f"of the server's (default {sizes}: two runs)")
    parser.add_argument("--seed", type=int, default=1, help="of the identifiers (default 1); the packages draw their own keys")
    parser.add_argument("--only", default=",".join(names), metavar="A,B", help=f"some of {','.join(names)} (default all)")
    parser.add_argument("--timeout", type=int, default=1800, metavar="S", help="seconds for a stage, or for all of openmined (default 1800)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--ours", type=Path, metavar="FILE", help="print this text beneath the table, unchanged")
    parser.add_argument("--child", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.only = options.only.split(",")
    if unknown := set(options.only) - set(names):
        parser.error(f"--only: {', '.join(sorted(unknown))} is none of {', '.join(names)}")
    if min(options.client, *options.server) < 100:
        parser.error("--client and --server: the overlap is 1 %, so a set has at least 100 identifiers")
    if options.ours and not options.ours.is_file():
        parser.error(f"--ours: {options.ours} is no file")
    return options


def main():
    options = arguments()
    if options.child:
        return child(options.child)
    about, every = machine(), []
    print(", ".join(f"{k} {v}" for k, v in about.items()), flush=True)
    for size in options.server:
        sizes = {"client": options.client, "server": size}
        overlap, rows = min(sizes.values()) // 100, []
        with tempfile.TemporaryDirectory(prefix="compare-") as name:
            write_sets(Path(name), options.seed, sizes, overlap)
            expected = set(identifiers(options.seed, options.client - overlap, overlap))
            for protocol in options.only:
                print(f"running {protocol}, {options.client:,} x {size:,} ...", file=sys.stderr, flush=True)
                rows += run_protocol(protocol, sizes, expected, Path(name), options.timeout)
        print(f"\nclient {options.client:,} x server {size:,}, {overlap:,} in both, seed {options.seed}\n{table(rows)}", flush=True)
        every += rows
    if options.json:
        options.json.write_text(json.dumps({"machine": about, "seed": options.seed, "rows": every}, indent=1) + "\n")
    if options.ours:
        print(f"\n{options.ours.read_text()}", end="")
    return int(any(r["result"].startswith("FAILED") for r in every))


if __name__ == "__main__":
    sys.exit(main())
