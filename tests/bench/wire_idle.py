"""wire_idle.py: what a server takes when nobody asks for anything, and how soon it is there: wire-idle and wire-ready of wire.py.

idle: CONNECTIONS connections, each of which has asked for ApiVersions and Metadata and waits; the resident memory of the server's process with and without
them. Once plain, for weir also over TLS.

ready: a server with PARTITIONS partitions of one topic, all written to, started again: seconds from before its process is made to its word that it listens
(weir), or until a connection is taken (Kafka, which answers nothing for seconds after that). The files are in the page cache, as they are after a stop. Then, for weir, the same after a kill -9 right after
records with acks=1, most of which no flush has reached.
"""
import contextlib
import resource
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "support"))
from tls_files import Authority
from wire_server import request
from wire_servers import Kafka, Weir

CONNECTIONS = 5000
PARTITIONS = 1000
RECORDS = 500 * PARTITIONS
API_VERSIONS, METADATA = request(18, 0, b""), request(3, 1, struct.pack(">i", -1))
IDLE_BAR_MB, READY_BAR_MS = 100, 100


def raise_limit():
    """As many descriptors as there may be, for this process and those it starts."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def read_whole(connection):
    size, = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL) if not isinstance(connection, ssl.SSLSocket) else connection.recv(4))
    while size > 0:
        piece = connection.recv(size)
        if not piece:
            raise EOFError("the server hung up")
        size -= len(piece)


def connect(port, context):
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    if context is not None:
        connection = context.wrap_socket(connection, server_hostname="127.0.0.1")
    for asked in (API_VERSIONS, METADATA):
        connection.sendall(asked)
        read_whole(connection)
    return connection


def hold_connections(server, count, context):
    """Memory without and with them; how many there were."""
    before, held, why = server.rss_mb(), [], "ok"
    with contextlib.ExitStack() as all_of_them:
        try:
            for _ in range(count):
                held.append(all_of_them.enter_context(connect(server.port, context)))
        except (OSError, EOFError, struct.error) as refusal:
            why = f"failed: {refusal or 'the server hung up'}"
        time.sleep(1)
        after = server.rss_mb()
    return {"connections": len(held), "rss_before_mb": round(before, 1), "rss_mb": round(after, 1), "kb_per_connection": round((after - before) * 1e3 / max(len(held), 1), 2),
            "check": why}


def run_idle(bench, put):
    raise_limit()
    count, code = CONNECTIONS * bench.options.scale // 100, 0
    authority = Authority(str(bench.work))
    certificate, key = authority.sign("server", "/CN=server")
    context = ssl.create_default_context(cafile=authority.pem)
    many = ("--connections", str(2 * CONNECTIONS), "--connections-per-address", str(2 * CONNECTIONS))
    kinds = [("plain", Weir, many), ("tls", Weir, (*many, "--tls-cert", certificate, "--tls-key", key)), ("plain", Kafka, ())]
    for case, kind, flags in kinds:
        if kind.name not in bench.options.servers or (bench.options.only and bench.options.only not in case):
            continue
        server = kind(bench.work / f"{kind.name}-{case}", *flags)
        bench.servers.append(server)
        line = hold_connections(server, count, context if case == "tls" else None)
        server.stop()
        bench.servers.remove(server)
        put({"bench": "wire-idle", "case": case, "system": kind.name, "bar_mb": IDLE_BAR_MB, **line})
        code = code if line["check"] == "ok" else 4
    return code


def fill(bench, server, *more):
    """Records in every partition; returns when all are acknowledged as written."""
    words = [bench.load_program, "produce", "-b", server.address, "-t", "ready", "--count", RECORDS, "--partitions", PARTITIONS, "-X", "acks=1", *more]
    subprocess.run([str(word) for word in words], check=True, stdout=subprocess.DEVNULL)


def run_ready(bench, put):
    raise_limit()
    for kind in (Weir, Kafka):
        if kind.name not in bench.options.servers:
            continue
        server = kind(bench.work / kind.name)
        bench.servers.append(server)
        fill(bench, server, "--create", "-")
        for case in ("stopped", "killed") if kind is Weir else ("stopped",):
            times = []
            for turn in range(bench.options.repeat):
                if case == "killed":
                    fill(bench, server)
                    server.kill()
                else:
                    server.stop()
                times.append(server.start() * 1e3)
            put({"bench": "wire-ready", "case": case, "system": kind.name, "partitions": PARTITIONS, "bar_ms": READY_BAR_MS, "median_ms": round(statistics.median(times), 1),
                 "best_ms": round(min(times), 1), "runs": len(times), "check": "ok"})
        server.stop()
        bench.servers.remove(server)
    return 0
