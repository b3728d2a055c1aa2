#!/usr/bin/env python3
"""Who may not go on with a transaction any more, and what everybody else sees meanwhile: producers that were overtaken, before and after restarts; members of a group that went
on without them; ends, new epochs and other requests that come at the same moment; producers that died."""
import os
import struct
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from wire_server import LIMIT_S, Case, request, string
from test_wire_records import fetch
from test_wire_txn import METADATA, NULL, Producer

JOIN, LEAVE, SYNC, PRODUCERS = 11, 13, 14, 61
INVALID_EPOCH, FENCED, UNKNOWN_MEMBER, ILLEGAL_GENERATION, FENCED_INSTANCE, CONCURRENT, WRONG_STATE, LOADING = 47, 90, 25, 22, 82, 51, 48, 14


class Fencing(Case):
    flags = ("--partitions", "2")

    def setUp(self):
        super().setUp()
        self.begin()
        self.wire.send(request(METADATA, 1, struct.pack(">i", 1) + string(b"t")))
        self.wire.response()

    def begin(self):
        self.wire = self.connect()

    def restart(self, kill=True):
        if kill:
            self.server.process.kill()
            self.server.process.wait()
        else:
            self.assertEqual(self.server.stop(), 0)
        self.server = self.start()
        self.begin()

    def again(self, *producers):
        """The same ones, on the server that is there now."""
        for p in producers:
            p.wire = self.connect()

    def lasts(self, partition=0, wire=None):
        """High watermark and last stable offset of a partition."""
        wire = wire or self.wire
        wire.send(fetch(0, topic=b"t", partition=partition, isolation=1))
        _, error, high, stable = struct.unpack(">ihqq", wire.response()[1][15:37])
        self.assertEqual(error, 0)
        return high, stable

    def until(self, condition, what):
        end = time.monotonic() + LIMIT_S
        while not condition():
            self.assertLess(time.monotonic(), end, what)

    def open_transactions(self, partition=0):
        """DescribeProducers: {producer id: (epoch, first offset of its open transaction)}."""
        self.wire.send(request(PRODUCERS, 0, b"\x02\x02t\x02" + struct.pack(">i", partition) + b"\0\0", tags=b"\0"))
        body = self.wire.response()[1][1:]
        index, error, message, count = struct.unpack(">ihBB", body[8:16])
        self.assertEqual((index, error, message), (partition, 0, 0))
        found = {}
        for i in range(count - 1):
            producer, epoch, _, _, _, first, tags = struct.unpack(">qiiqiqB", body[16 + 37 * i:16 + 37 * (i + 1)])
            self.assertEqual(tags, 0)
            found[producer] = (epoch, first)
        return found

    # ---- producers that were overtaken ----

    def all_refused(self, p, wanted):
        """What a producer can ask for, in versions that know the newer code, and one that does not."""
        got = [p.produce()[0], p.add((b"t", 0))[0], p.add((b"t", 0), version=3)[0], p.add_offsets(version=1), p.add_offsets(version=3), p.end(True, 1), p.end(False, 3), p.offsets(1),
               p.init(3, present=(p.id, p.epoch)), p.init(4, present=(p.id, p.epoch))]
        self.assertEqual(got, wanted)

    def test_a_zombie_stays_one(self):
        """Whoever comes and goes in between."""
        old, new = Producer(self), Producer(self)
        overtaken = [INVALID_EPOCH, INVALID_EPOCH, FENCED, INVALID_EPOCH, FENCED, INVALID_EPOCH, FENCED, INVALID_EPOCH, INVALID_EPOCH, FENCED]
        self.assertEqual(old.init(), 0)
        self.assertEqual([old.add((b"t", 0)), old.produce()[0]], [[0], 0])
        self.assertEqual(new.init(), 0)
        self.all_refused(old, overtaken)
        for kill in (True, False):
            # With nothing open, then with a transaction of the newer one, which goes on.
            self.assertEqual([new.add((b"t", 0)), new.produce()[0], new.end(True)], [[0], 0, 0])
            self.restart(kill)
            self.again(old, new)
            self.all_refused(old, overtaken)
            self.assertEqual([new.add((b"t", 0)), new.produce()[0]], [[0], 0])
            self.restart(kill)
            self.again(old, new)
            self.all_refused(old, overtaken)
            self.assertEqual([new.end(True), new.init(4, present=(new.id, new.epoch))], [0, 0])
            self.all_refused(old, overtaken)
        self.until(lambda: len(set(self.lasts())) == 1, "nothing is open")
        self.assertEqual([first for _, first in self.open_transactions().values()], [-1])

    def test_a_producer_whose_time_was_over(self):
        """Its epoch has gone by: it cannot go on, nor get the next epoch for its own, as with Kafka; a new one of its name can."""
        p = Producer(self)
        self.assertEqual(p.init(timeout_ms=300), 0)
        self.assertIn(p.add((b"t", 0)), ([0], [INVALID_EPOCH]))
        self.until(lambda: p.add((b"t", 0))[0] == INVALID_EPOCH, "its time is over")
        refused = [INVALID_EPOCH, INVALID_EPOCH, FENCED, INVALID_EPOCH, FENCED, INVALID_EPOCH, FENCED, INVALID_EPOCH, INVALID_EPOCH, FENCED]
        self.all_refused(p, refused)
        self.restart()
        self.again(p)
        self.all_refused(p, refused)
        self.assertEqual((p.init(), p.add((b"t", 0)), p.produce()[0], p.end(True)), (0, [0], 0, 0))

    def test_readers_do_not_wait_for_a_dead_producer(self):
        """It holds back what others have written behind it, until its time is over. DescribeProducers names it meanwhile."""
        dead, alive = Producer(self, b"dead"), Producer(self, b"alive")
        self.assertEqual([dead.init(timeout_ms=5000), alive.init()], [0, 0])
        self.assertEqual([dead.add((b"t", 0)), dead.produce()], [[0], (0, 0)])
        dead.wire.socket.close()
        self.assertEqual([alive.add((b"t", 0)), alive.produce()[0], alive.end(True)], [[0], 0, 0])
        high, stable = self.lasts()
        if stable == 0: # on a slow machine the time may be over by now
            self.assertGreaterEqual(high, 4)
            self.assertIn(self.open_transactions().get(dead.id), ((0, 0), (1, -1), (0, -1)))
        self.until(lambda: self.lasts()[1] >= 5 and len(set(self.lasts())) == 1, "readers see all")
        self.assertEqual([first for _, first in self.open_transactions().values()], [-1, -1])
        self.until(lambda: "was open longer than its timeout of 5000 ms" in self.server.said(), "it is said")

    # ---- members ----

    def join(self, member=b"", instance=None, wire=None):
        """JoinGroup 5: error, generation, member id."""
        body = (string(b"g") + struct.pack(">ii", 10000, 60000) + string(member) + (NULL if instance is None else string(instance)) + string(b"consumer") +
                struct.pack(">i", 1) + string(b"range") + struct.pack(">i", 3) + b"sub")
        (wire or self.wire).send(request(JOIN, 5, body))
        body = (wire or self.wire).response()[1]
        _, error, generation = struct.unpack(">ihi", body[:10])
        texts, at = [], 10
        for _ in range(3):
            size, = struct.unpack(">h", body[at:at + 2])
            texts.append(body[at + 2:at + 2 + size])
            at += 2 + size
        return error, generation, texts[2]

    def joined(self, instance=None):
        """As a member that leads: generation, member id. Its SyncGroup comes after."""
        error, generation, member = self.join(instance=instance)
        if error == 79: # the id to come back with
            error, generation, member = self.join(member, instance)
        self.assertEqual(error, 0)
        return generation, member

    def sync(self, generation, member, instance=None):
        body = string(b"g") + struct.pack(">i", generation) + string(member) + (NULL if instance is None else string(instance)) + struct.pack(">i", 1) + string(member) + struct.pack(">i", 1) + b"a"
        self.wire.send(request(SYNC, 3, body))
        self.assertEqual(struct.unpack(">ih", self.wire.response()[1][:6])[1], 0)

    def leave(self, member):
        self.wire.send(request(LEAVE, 1, string(b"g") + string(member)))
        self.assertEqual(self.wire.response()[1], struct.pack(">ih", 0, 0))

    def test_offsets_of_members_that_are_none_any_more(self):
        """From version 3 on the group has a word: a member of an older generation must not commit what its successor has read again."""
        p = Producer(self)
        self.assertEqual(p.init(), 0)
        p.add_offsets()
        for version in (3, 4):
            offer = lambda *member: p.offsets(1, version=version, member=member)
            generation, member = self.joined()
            # While it waits for its assignment, too: what it commits it has read in the generation before.
            self.assertEqual(offer(generation, member, None), 0)
            self.sync(generation, member)
            self.assertEqual([offer(generation, member, None), offer(generation - 1, member, None), offer(generation + 1, member, None)], [0, ILLEGAL_GENERATION, ILLEGAL_GENERATION])
            self.assertEqual([offer(generation, b"somebody", None), offer(generation, b"", None), offer(-1, member, None)], [UNKNOWN_MEMBER, UNKNOWN_MEMBER, ILLEGAL_GENERATION])
            # Who says nothing of a group is fenced by its epoch alone, as in older versions.
            self.assertEqual([offer(-1, b"", None), p.offsets(1, version=2), p.offsets(1, version=0)], [0, 0, 0])
            self.leave(member)
            self.assertEqual([offer(generation, member, None), offer(-1, b"", None)], [UNKNOWN_MEMBER, 0])
        self.assertEqual(p.end(True), 0)

    def test_offsets_of_a_static_member_that_was_replaced(self):
        p = Producer(self)
        self.assertEqual(p.init(), 0)
        p.add_offsets()
        offer = lambda *member: p.offsets(1, version=3, member=member)
        generation, first = self.joined(b"i")
        self.sync(generation, first, b"i")
        self.assertEqual([offer(generation, first, b"i"), offer(generation, first, None)], [0, 0])
        error, generation, second = self.join(instance=b"i")
        self.assertEqual(error, 0)
        self.assertNotEqual(first, second)
        self.assertEqual([offer(generation, first, b"i"), offer(generation, second, b"i"), offer(generation, second, b"other")], [FENCED_INSTANCE, 0, UNKNOWN_MEMBER])
        # Older versions of clients do not name the instance.
        self.assertEqual([offer(generation, first, None), offer(generation, second, None), p.end(True)], [UNKNOWN_MEMBER, 0, 0])

    # ---- at the same moment ----

    def race(self, *calls):
        """What each returned, all begun together."""
        barrier, results = threading.Barrier(len(calls)), [None] * len(calls)

        def run(i):
            barrier.wait()
            results[i] = calls[i]()
        threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def twin(self, p):
        other = Producer(self, p.name)
        other.id, other.epoch, other.sequence = p.id, p.epoch, p.sequence
        return other

    def test_an_end_beside_the_next_transaction(self):
        """What comes while it is decided may be told to come again (51); never is anything of it in the wrong transaction."""
        p = Producer(self)
        self.assertEqual(p.init(), 0)
        other = self.twin(p)
        again = 0
        for _ in range(100):
            self.assertEqual([p.add((b"t", 0)), p.produce()[0]], [[0], 0])
            ended, (added,) = self.race(lambda: p.end(True), lambda: other.add((b"t", 1)))
            self.assertIn(ended, (0, CONCURRENT))
            self.assertIn(added, (0, CONCURRENT))
            again += added == CONCURRENT
            # It was a part of the one that has ended, or began the next, which has nothing then.
            self.assertIn(p.end(True), (0,))
            self.assertEqual(p.end(False), WRONG_STATE)
        self.until(lambda: self.lasts() == (300, 300), "two records and a marker of each")
        self.assertEqual(self.server.said(), "")

    def test_an_end_beside_the_same_end(self):
        p = Producer(self)
        self.assertEqual(p.init(), 0)
        other = self.twin(p)
        for number in range(50):
            self.assertEqual([p.add((b"t", 0)), p.produce()[0]], [[0], 0])
            commit = number % 2 == 0
            self.assertLessEqual(set(self.race(lambda: p.end(commit), lambda: other.end(commit))), {0, CONCURRENT})
            self.assertEqual([p.end(commit), p.end(not commit)], [0, WRONG_STATE])
        # Of opposite ones one wins, and the other is told so.
        for _ in range(50):
            self.assertEqual([p.add((b"t", 0)), p.produce()[0]], [[0], 0])
            commit, abort = self.race(lambda: p.end(True), lambda: other.end(False))
            self.assertTrue({commit, abort} in ({0, WRONG_STATE}, {0, CONCURRENT}), (commit, abort))
            self.assertEqual([p.end(True), p.end(False)], [0, WRONG_STATE] if commit == 0 else [WRONG_STATE, 0])

    def test_an_end_beside_a_new_epoch(self):
        """The older one has committed, or has been fenced and aborted: what it was told is what readers see."""
        visible = 0
        for number in range(40):
            old, new = Producer(self), Producer(self)
            self.assertEqual(old.init(), 0)
            self.assertEqual([old.add((b"t", 0)), old.add_offsets(), old.offsets(number + 1)], [[0], 0, 0])
            self.assertEqual(old.produce()[0], 0)
            ended, begun = self.race(lambda: old.end(True, 2), new.init)
            # Who comes while the new epoch is made (LOADING), or while it is decided, comes again, as clients do.
            self.assertIn(ended, (0, FENCED, CONCURRENT, LOADING))
            while begun in (CONCURRENT, LOADING):
                begun = new.init()
            self.assertEqual((begun, new.epoch), (0, old.epoch + 1))
            if ended in (CONCURRENT, LOADING):
                ended = old.end(True, 2)
                self.assertEqual(ended, FENCED)
            visible = number + 1 if ended == 0 else visible
            self.assertEqual(self.committed(), visible or -1)
            for p in (old, new):
                p.wire.socket.close()

    def committed(self):
        """The group's offset of t-0, which is stable."""
        self.wire.send(request(9, 7, b"\x02g\x02\x02t\x02" + struct.pack(">i", 0) + b"\0\x01\0", tags=b"\0"))
        body = self.wire.response()[1][1 + 4 + 1 + 2 + 1 + 4:]
        size = body[12]
        self.assertEqual(struct.unpack(">h", body[12 + max(size, 1):][:2])[0], 0)
        return struct.unpack(">q", body[:8])[0]


if __name__ == "__main__":
    unittest.main()
