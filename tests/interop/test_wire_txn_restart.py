#!/usr/bin/env python3
"""Transactions that are open when the server is stopped or killed: they go on. Requests by hand, at each step; then librdkafka, which must notice nothing."""
import os
import struct
import subprocess
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
import test_wire_txn
from wire_server import LIMIT_S, PYTHON, WEIR, environment
from test_wire_clients import HAS_CONFLUENT
from test_wire_txn import Producer


class Restarts(test_wire_txn.ByHand):
    def stop(self):
        self.assertEqual(self.server.stop(), 0)
        self.restart()

    def test_a_transaction_goes_on_after_a_restart(self):
        """Whatever of it came before, and as often as it happens: nobody sees anything of it until it is committed, and then all of it, once."""
        p, base, committed, number = self.producer, 0, [], 0
        self.assertEqual(p.init(), 0)
        steps = [lambda: self.assertEqual(p.add((b"t", 0)), [0]), lambda: self.assertEqual(p.produce(), (0, base)), lambda: self.assertEqual(p.produce(), (0, base + 2)),
                 lambda: self.assertEqual([p.add_offsets(), p.offsets(base + 4)], [0, 0]), lambda: self.assertEqual(p.offsets(9, partition=1), 0)]
        for commit in (True, False):
            for breaks in [{at} for at in range(1, len(steps) + 1)] + [set(range(1, len(steps) + 1))]:
                before, number = self.fetched_offset()[0], number + 1
                for at, step in enumerate(steps, 1):
                    step()
                    if at in breaks:
                        (self.kill if (at + number) % 2 else self.stop)()
                        p = self.again(p)
                    high, stable, _, bases = self.seen()
                    self.assertEqual((stable, bases), (base, committed))
                    self.assertEqual([self.fetched_offset()[0], self.fetched_offset(stable=True)], [before, (before, 0) if at < 4 else (-1, 88)])
                self.assertEqual([p.end(commit), p.end(commit), p.end(not commit)], [0, 0, 48])
                committed += [base, base + 2] if commit else []
                self.assertEqual(self.seen_up_to(base + 5)[1::2], (base + 5, committed))
                self.assertEqual(self.fetched_offset(stable=True), (base + 4 if commit else before, 0))
                base += 5
        self.kill()
        self.assertEqual(self.seen()[3], committed)
        self.stop()
        self.assertEqual((self.seen()[1], self.seen()[3], p.epoch), (base, committed, 0))
        for topic in ("t", "u"):
            self.verify(topic)

    def test_a_time_that_is_over_after_a_restart(self):
        """Or soon after: nobody has to come back for that."""
        p, q = self.producer, Producer(self, b"q")
        self.assertEqual([p.init(timeout_ms=2000), q.init(timeout_ms=900000), q.add((b"t", 1))], [0, 0, [0]])
        self.assertIn(p.add((b"t", 0)), ([0], [47])) # on a slow machine it may be over by now
        p.produce()
        self.kill()
        until = time.monotonic() + LIMIT_S
        p, q = self.again(p), self.again(q)
        while p.add((b"t", 0), version=2) != [90] or self.seen()[0] != self.seen()[1]:
            self.assertLess(time.monotonic(), until)
        self.assertEqual([self.seen()[3], p.end(True, 2), p.add((b"t", 0), version=2), p.init(4, present=(p.id, p.epoch))], [[], 90, [90], 90])
        self.assertEqual([q.produce(partition=1)[0], q.end(True)], [0, 0])
        self.assertEqual([p.init(), p.add((b"t", 0)), p.end(True)], [0, [0], 0])

    def test_a_newer_producer_after_a_restart(self):
        """It fences the one whose transaction went on, before or after that one has come back."""
        for comes_back in (False, True):
            old, new = Producer(self), Producer(self)
            self.assertEqual([old.init(), old.add((b"t", 0))], [0, [0]])
            base = old.produce()[1]
            self.assertEqual([old.add_offsets(), old.offsets(7)], [0, 0])
            self.kill()
            old, new = self.again(old), Producer(self)
            if comes_back:
                self.assertEqual(old.produce(), (0, base + 2))
            self.assertEqual((new.init(), new.id, new.epoch), (0, old.id, old.epoch + 1))
            self.assertEqual([old.produce()[0], old.add((b"t", 0), version=2), old.end(True, 2), old.end(False, 2), old.add_offsets(version=2)], [47, [90], 90, 90, 90])
            self.assertEqual([self.seen()[3], self.fetched_offset(stable=True)], [[], (-1, 0)])
            self.kill()
            old = self.again(old)
            self.assertEqual([old.end(True, 2), self.seen()[3], self.fetched_offset(stable=True)], [90, [], (-1, 0)])

    def test_what_is_said_of_one_that_went_on(self):
        p = Producer(self, b"a")
        self.assertEqual([p.init(timeout_ms=50000), p.add((b"t", 0), (b"t", 1))], [0, [0, 0]])
        before = self.described(b"a")
        self.assertIn(b"Ongoing", before)
        self.kill()
        self.producer = Producer(self)
        self.assertEqual(self.listed([b"Ongoing"]), ([], {b"a": b"Ongoing"}))
        after = self.described(b"a")
        # But for when it began, to the millisecond.
        at = len(struct.pack(">h", 0) + b"\x02a\x08Ongoing" + struct.pack(">i", 50000))
        self.assertEqual([after[:at], after[at + 8:]], [before[:at], before[at + 8:]])
        self.assertLess(abs(struct.unpack(">q", after[at:at + 8])[0] - struct.unpack(">q", before[at:at + 8])[0]), 1000)
        p = self.again(p)
        self.assertEqual([p.produce()[0], p.end(True), self.described(b"a")[2:].startswith(b"\x02a\x0fCompleteCommit")], [0, 0, True])

    def test_a_restart_in_the_middle_of_an_abort(self):
        """One of its partitions has the marker: the rest is aborted, too. Who had it hears so in words after which clients abort and go on, and gets a new epoch for the old one."""
        self.assertEqual(self.server.stop(), 0)
        self.restart(crash_at="marker.abort:1")
        p = Producer(self)
        self.assertEqual([p.init(), p.add((b"t", 0), (b"t", 1))], [0, [0, 0]])
        self.assertEqual([p.produce()[0], p.produce(partition=1)[0], p.add_offsets(), p.offsets(7)], [0, 0, 0, 0])
        with self.assertRaises((EOFError, ConnectionError)):
            p.end(False)
        self.assertEqual(self.server.process.wait(LIMIT_S), 137)
        self.restart()
        p = self.again(p)
        self.assertEqual([p.end(True), p.end(False, 2), p.add((b"t", 0), version=2), p.add_offsets(), p.produce()[0], p.offsets(1)], [49, 0, [49], 49, 47, 25])
        for partition in (0, 1):
            self.assertEqual(self.seen(partition=partition)[:2] + (self.seen(partition=partition)[3],), (3, 3, []))
        self.assertEqual([self.fetched_offset(stable=True), p.init(4, present=(p.id, p.epoch - 1))], [(-1, 0), 42])
        before = p.epoch
        self.assertEqual((p.init(4, present=(p.id, before)), p.epoch), (0, before + 2))
        self.assertEqual([p.add((b"t", 0)), p.produce()[0], p.end(False)], [[0], 0, 0])

    def test_a_restart_between_transactions(self):
        """The producer goes on with its epoch and its sequence, and what was decided stays so."""
        p = self.producer
        p.init()
        base = 0
        for commit in (True, False, True):
            self.assertEqual(p.add((b"t", 0)), [0])
            self.assertEqual(p.produce(), (0, base))
            self.assertEqual(p.end(commit), 0)
            base += 3
            self.kill()
            p = self.again(p)
            self.assertEqual([p.end(not commit), p.end(commit)], [48, 0])
        self.assertEqual(self.seen_up_to(9), (9, 9, [(p.id, 3)], [0, 6]))

    def check_seen(self, transactions, name, offset):
        self.assertEqual((len(self.seen(b"t", 0)[3]), len(self.seen(b"u", 1)[3])), (transactions, transactions), name)
        self.assertEqual(self.fetched_offset(group=b"g" + name, stable=True), (offset, 0))

    def verify(self, topic):
        self.assertEqual(self.server.stop(), 0)
        done = subprocess.run([WEIR, "topic", "verify", topic, "--data", self.data], capture_output=True, text=True, env=environment())
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.restart()

    def test_the_server_dies_in_a_transaction(self):
        """At each step; the client asks again what it had no answer to, as clients do, and goes on: the transaction ends as it should, once."""
        commits = ["append.written:1", "append.written:2", "participants.before:1", "participants.after:1", "flush.done:2", "decide.prepared:2", "decide.before:1", "decide.before:2",
                   "decide.before:3", "decide.done:1", "decide.done:2", "decide.done:3", "decide.stable:1", "marker.commit:1", "marker.commit:2", "decide.finished:3"]
        aborts = ["append.written:2", "flush.done:2", "decide.prepared:2", "marker.abort:1", "marker.abort:2", "decide.before:3", "decide.done:3", "decide.finished:3"]
        points = [(point, True) for point in commits] + [(point, False) for point in aborts]
        visible, died = 0, 0
        for number, (point, commit) in enumerate(points):
            self.server.stop()
            self.restart(crash_at=point)
            name = b"%d" % number
            p = Producer(self, b"tx" + name)
            steps = [lambda: p.init(), lambda: max(p.add((b"t", 0), (b"u", 1))), lambda: p.produce(b"t", 0)[0], lambda: p.produce(b"u", 1)[0],
                     lambda: p.add_offsets(b"g" + name), lambda: p.offsets(number, group=b"g" + name), lambda: p.end(commit)]
            while steps:
                try:
                    self.assertEqual(steps[0](), 0, (point, commit, len(steps)))
                    steps.pop(0)
                except (EOFError, ConnectionError):
                    self.assertEqual(self.server.process.wait(LIMIT_S), 137)
                    died += 1
                    self.restart()
                    p = self.again(p)
            if self.server.process.poll() is not None: # after its last answer
                self.restart()
            visible += commit
            try:
                self.check_seen(visible, name, number if commit else -1)
            except (EOFError, ConnectionError): # after that
                self.assertEqual(self.server.process.wait(LIMIT_S), 137)
                self.restart()
                self.check_seen(visible, name, number if commit else -1)
        self.assertGreater(died, len(points) // 2)
        self.server.stop() # which is where the last one may die
        self.restart()
        for topic in ("t", "u"):
            self.verify(topic)


@unittest.skipUnless(HAS_CONFLUENT, "python3-confluent-kafka is not installed")
class Clients(test_wire_txn.WithClient):
    flags = ("--partitions", "3")

    def run_with_restarts(self, script, *arguments):
        """Restarts the server, stopped and killed in turn, at each line that the client prints, and lets it go on then. How often."""
        errors = tempfile.TemporaryFile("w+")
        self.addCleanup(errors.close)
        client = subprocess.Popen([PYTHON, "-c", self.READ + script, self.server.address, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                                  env=environment())
        for end in (client.stdin.close, client.stdout.close, client.kill):
            self.addCleanup(end)
        address, restarts = self.server.address, 0
        for _ in client.stdout:
            if restarts % 2 == 0:
                self.server.process.kill()
                self.server.process.wait()
            else:
                self.assertEqual(self.server.stop(), 0)
            self.server = self.start(kafka=address)
            restarts += 1
            print(file=client.stdin, flush=True)
        errors.seek(0)
        self.assertEqual(client.wait(LIMIT_S), 0, errors.read()[-3000:] + self.server.said())
        return restarts

    def test_a_producer_whose_server_is_restarted_at_each_step(self):
        """It notices nothing: no error, no new producer, and no transaction that ends otherwise than it says."""
        restarts = self.run_with_restarts("""
from confluent_kafka import Producer
address = sys.argv[1]
SOON = {"bootstrap.servers": address, "reconnect.backoff.ms": 5, "reconnect.backoff.max.ms": 50, "retry.backoff.ms": 10}
STEPS = 5
def pause(here):
    if here:
        print("-", flush=True)
        sys.stdin.readline()
producer = Producer({**SOON, "transactional.id": "tx", "linger.ms": 1})
producer.init_transactions(60)
consumer = Consumer({**SOON, "group.id": "g", "enable.auto.commit": False})
wanted, offset = [], -1001
for number in range(2 * STEPS):
    commit, at = number < STEPS, number % STEPS
    pause(at == 0)
    producer.begin_transaction()
    producer.produce("t", f"{number}-0", partition=0)
    assert producer.flush(60) == 0
    pause(at == 1)
    producer.produce("t", f"{number}-1", partition=1)
    assert producer.flush(60) == 0
    pause(at == 2)
    producer.send_offsets_to_transaction([TopicPartition("t", 0, number)], consumer.consumer_group_metadata(), 60)
    pause(at == 3)
    producer.produce("t", f"{number}-2", partition=0)
    assert producer.flush(60) == 0
    pause(at == 4)
    producer.commit_transaction(60) if commit else producer.abort_transaction(60)
    if commit:
        wanted += [f"{number}-{i}" for i in range(3)]
        offset = number
    assert sorted(read(address, "t")) == wanted, number
    assert consumer.committed([TopicPartition("t", 0)], timeout=60)[0].offset == offset, number
""")
        self.assertEqual(restarts, 10)

    def test_twenty_producers_at_once(self):
        """Between transactions, and with all of them open."""
        restarts = self.run_with_restarts("""
from concurrent.futures import ThreadPoolExecutor
from confluent_kafka import Producer
address, COUNT = sys.argv[1], 20
SOON = {"bootstrap.servers": address, "reconnect.backoff.ms": 5, "reconnect.backoff.max.ms": 50, "retry.backoff.ms": 10}
producers = [Producer({**SOON, "transactional.id": f"tx{i}", "linger.ms": 1}) for i in range(COUNT)]
pool = ThreadPoolExecutor(COUNT)
def each(call):
    for future in [pool.submit(call, i, producers[i]) for i in range(COUNT)]:
        future.result()
def pause():
    print("-", flush=True)
    sys.stdin.readline()
def begin(i, producer):
    producer.begin_transaction()
    producer.produce("t", f"{number}-{i}", partition=i % 3)
    assert producer.flush(60) == 0
each(lambda i, producer: producer.init_transactions(60))
wanted = []
for number in range(4):
    each(begin)
    pause()
    commits = lambda i: (number + i) % 2 == 0
    each(lambda i, producer: producer.commit_transaction(60) if commits(i) else producer.abort_transaction(60))
    wanted += [f"{number}-{i}" for i in range(COUNT) if commits(i)]
    pause()
    assert sorted(read(address, "t")) == sorted(wanted), number
""")
        self.assertEqual(restarts, 8)


if __name__ == "__main__":
    unittest.main()
