#!/usr/bin/env python3
"""Fetch sessions (KIP-227) and Fetch by topic ids, by hand: what a session leaves out and what it must not, every error; and a drawn life of readers, each of which
must have read every record once, in order, whatever it was told and not told."""
import os
import random
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from wire_server import LIMIT_S, Case, request, string
from test_wire_records import BATCH, produce

PRODUCE, FETCH, METADATA, CREATE, DELETE, DELETE_RECORDS = 0, 1, 3, 19, 20, 21


class Reader:
    """Bytes of a response, taken one after the other."""

    def __init__(self, data, flexible):
        self.data, self.at, self.flexible = data, 0, flexible

    def take(self, form):
        values = struct.unpack_from(">" + form, self.data, self.at)
        self.at += struct.calcsize(">" + form)
        return values[0] if len(values) == 1 else values

    def uvarint(self):
        value, shift = 0, 0
        while True:
            byte = self.take("B")
            value |= (byte & 127) << shift
            if byte < 128:
                # Lengths are written as short as they can be.
                assert byte != 0 or shift == 0
                return value
            shift += 7

    def array(self):
        return self.uvarint() - 1 if self.flexible else self.take("i")

    def blob(self, form):
        size = self.uvarint() - 1 if self.flexible else self.take(form)
        self.at += max(size, 0)
        return self.data[self.at - max(size, 0):self.at]

    def tags(self):
        if self.flexible:
            assert self.take("b") == 0


def uvarint(value):
    out = b""
    while value > 127:
        out, value = out + bytes([value & 127 | 128]), value >> 7
    return out + bytes([value])


class Session(Case):
    flags = ("--partitions", "4")

    def setUp(self):
        super().setUp()
        self.wire = self.connect()
        self.topics = {b"t": None, b"u": None, b"v": None}
        flexible = Reader(self.ask(METADATA, 12, b"\x04" + b"".join(b"\0" * 16 + b"\x02" + t + b"\0" for t in self.topics) + b"\1\0\0", True), True)
        flexible.take("bi")
        for _ in range(flexible.array()):
            flexible.take("i"), flexible.blob("h"), flexible.take("i"), flexible.blob("h"), flexible.tags()
        flexible.blob("h"), flexible.take("i")
        for _ in range(flexible.array()):
            self.assertEqual(flexible.take("h"), 0)
            name = flexible.blob("h")
            self.topics[name] = flexible.data[flexible.at:flexible.at + 16]
            flexible.at += 17
            for _ in range(flexible.array()):
                flexible.take("hiii")
                for _ in range(3):
                    flexible.take("%di" % flexible.array())
                flexible.tags()
            flexible.take("i"), flexible.tags()
        self.assertTrue(all(self.topics.values()))

    def ask(self, key, version, body, flexible=False, wire=None):
        wire = wire or self.wire
        wire.send(request(key, version, body, tags=b"\0" if flexible else b""))
        return wire.response()[1]

    def fetch(self, session, epoch, partitions=(), forgotten=(), version=7, wait_ms=0, min_bytes=1, max_bytes=1 << 20, isolation=0, wire=None, names=None):
        """Error, session, {(topic, partition): (error, high watermark, start, records)}. partitions: (topic, partition, offset)."""
        flexible, by_id = version >= 12, version >= 13
        count = lambda n: uvarint(n + 1) if flexible else struct.pack(">i", n)
        tags = b"\0" if flexible else b""
        names = names or self.topics
        topic = lambda t: names[t] if by_id else uvarint(len(t) + 1) + t if flexible else string(t)
        def one(index, offset):
            return (struct.pack(">i", index) + (struct.pack(">i", -1) if version >= 9 else b"") + struct.pack(">q", offset) +
                    (struct.pack(">i", -1) if version >= 12 else b"") + struct.pack(">qi", -1, 1 << 20) + tags)
        body = b"" if version >= 15 else struct.pack(">i", -1)
        body += struct.pack(">iiibii", wait_ms, min_bytes, max_bytes, isolation, session, epoch)
        body += count(len(partitions)) + b"".join(topic(t) + count(1) + one(i, offset) + tags for t, i, offset in partitions)
        body += count(len(forgotten)) + b"".join(topic(t) + count(1) + struct.pack(">i", i) + tags for t, i in forgotten)
        body += (b"\x01" if flexible else string(b"")) if version >= 11 else b""
        return self.parse(self.ask(FETCH, version, body + tags, flexible, wire), version, names)

    def parse(self, body, version, names=None):
        r = Reader(body, version >= 12)
        r.tags()
        _, error, session = r.take("ihi")
        found, topics = {}, {i: t for t, i in (names or self.topics).items()}
        for _ in range(r.array()):
            if version >= 13:
                topic, r.at = topics[r.data[r.at:r.at + 16]], r.at + 16
            else:
                topic = r.blob("h")
            for _ in range(r.array()):
                index, code, high, _ = r.take("ihqq")
                start = r.take("q")
                for _ in range(max(r.array(), 0)):
                    r.take("qq"), r.tags()
                if version >= 11:
                    self.assertEqual(r.take("i"), -1)
                self.assertNotIn((topic, index), found)
                found[topic, index] = (code, high, start, r.blob("i"))
                r.tags()
            r.tags()
        r.tags()
        self.assertEqual(r.at, len(body))
        return error, session, found

    def produce(self, topic, partition):
        body = self.ask(PRODUCE, 3, produce(BATCH, topic, partition)[4 + 10 + 4:])
        self.assertEqual(struct.unpack(">h", body[4 + 2 + len(topic) + 4 + 4:][:2])[0], 0)

    ALL = [(b"t", 0, 0), (b"t", 1, 0), (b"u", 3, 0), (b"v", 2, 0)]

    def test_what_changed_and_nothing_else(self):
        for version in range(7, 18):
            end = 2 * (version - 7)
            places = [(t, i, end) for t, i, _ in self.ALL]
            error, session, found = self.fetch(0, 0, places, version=version)
            self.assertEqual((error, session > 0), (0, True))
            self.assertEqual(found, {(t, i): (0, end, 0, b"") for t, i, _ in places})
            # All is known: nothing comes, and nothing was asked for by name.
            self.assertEqual(self.fetch(session, 1, version=version), (0, session, {}))
            for topic, index, _ in self.ALL:
                self.produce(topic, index)
            error, _, found = self.fetch(session, 2, version=version)
            self.assertEqual({place: (e, high, len(records)) for place, (e, high, _, records) in found.items()}, {(t, i): (0, end + 2, len(BATCH)) for t, i, _ in self.ALL})
            # One goes on, another is forgotten; the others still have records for it.
            error, _, found = self.fetch(session, 3, [(b"t", 1, end + 2)], [(b"u", 3), (b"u", 0)], version=version)
            self.assertEqual({place: len(f[3]) for place, f in found.items()}, {(b"t", 0): len(BATCH), (b"v", 2): len(BATCH)})
            # It comes back: it is news.
            error, _, found = self.fetch(session, 4, [(b"u", 3, end + 2), (b"t", 0, end + 2), (b"v", 2, end + 2)], version=version)
            self.assertEqual(found, {(b"u", 3): (0, end + 2, 0, b"")})
            self.assertEqual(self.fetch(session, -1, self.ALL[:1], version=version)[1], 0)
            self.assertEqual(self.fetch(session, 5, version=version), (70, 0, {}))
        self.assertEqual(self.server.said(), "")

    def test_errors(self):
        _, session, _ = self.fetch(0, 0, self.ALL)
        self.assertEqual(self.fetch(session ^ 1, 1), (70, 0, {}))
        self.assertEqual([self.fetch(session, epoch)[0] for epoch in (2, -2, 1 << 30)], [71, 71, 71])
        self.assertEqual(self.fetch(session, 1, version=13), (106, 0, {}))
        self.assertEqual(self.fetch(session, 1), (0, session, {}))
        self.assertEqual(self.fetch(session, 1)[0], 71)
        # A full request ends the old session and makes another.
        _, other, found = self.fetch(session, 0, self.ALL, version=13)
        self.assertEqual((other != session, len(found)), (True, 4))
        self.assertEqual([self.fetch(session, 2)[0], self.fetch(other, 1)[0], self.fetch(other, 1, version=13)[0]], [70, 106, 0])
        # One without partitions is none; what is forgotten to the last ends.
        self.assertEqual(self.fetch(0, 0), (0, 0, {}))
        self.assertEqual(self.fetch(other, 2, (), [(t, i) for t, i, _ in self.ALL], version=13), (0, 0, {}))
        self.assertEqual(self.fetch(other, 3, version=13)[0], 70)

    def test_partitions_with_errors_are_told_each_time(self):
        _, session, found = self.fetch(0, 0, [(b"t", 0, 0), (b"t", 9, 0), (b"u", 0, 77)], wait_ms=600000)
        self.assertEqual([found[b"t", 0][0], found[b"t", 9][:3], found[b"u", 0][:3]], [0, (3, -1, -1), (1, -1, -1)])
        _, _, found = self.fetch(session, 1, wait_ms=600000)
        self.assertEqual({place: f[0] for place, f in found.items()}, {(b"t", 9): 3, (b"u", 0): 1})
        _, _, found = self.fetch(session, 2, [(b"u", 0, 0)], [(b"t", 9)])
        self.assertEqual(found, {(b"u", 0): (0, 0, 0, b"")})

    def test_ids(self):
        names = {**self.topics, b"nobody": bytes(range(16)), b"zero": bytes(16)}
        for version in range(13, 18):
            places = [(b"nobody", 0, 0), (b"t", 0, 0), (b"t", 4, 0), (b"zero", 0, 0)]
            for epoch in (-1, 0):
                _, session, found = self.fetch(0, epoch, places, version=version, names=names)
                self.assertEqual((session > 0, {p: f[0] for p, f in found.items()}),
                                 (epoch == 0, {(b"nobody", 0): 100, (b"t", 0): 0, (b"t", 4): 3, (b"zero", 0): 100}))

    def test_a_topic_that_is_made_again(self):
        """By name the new one is read; by id it is another, and the old one is unknown."""
        self.produce(b"t", 0)
        _, by_name, _ = self.fetch(0, 0, [(b"t", 0, 2), (b"u", 0, 0)])
        _, by_id, _ = self.fetch(0, 0, [(b"t", 0, 2), (b"u", 0, 0)], version=13)
        self.ask(DELETE, 1, struct.pack(">i", 1) + string(b"t") + struct.pack(">i", 1000))
        self.assertEqual(self.fetch(by_name, 1)[2], {(b"t", 0): (3, -1, -1, b"")})
        self.assertEqual(self.fetch(by_id, 1, version=13)[2], {(b"t", 0): (100, -1, -1, b"")})
        self.ask(METADATA, 1, struct.pack(">i", 1) + string(b"t"))
        self.assertEqual(self.fetch(by_name, 2)[2], {(b"t", 0): (1, -1, -1, b"")})
        self.assertEqual(self.fetch(by_name, 3, [(b"t", 0, 0)])[2], {(b"t", 0): (0, 0, 0, b"")})
        self.assertEqual(self.fetch(by_id, 2, version=13)[2], {(b"t", 0): (100, -1, -1, b"")})

    def test_it_waits(self):
        _, session, _ = self.fetch(0, 0, self.ALL)
        other = self.connect()
        body = struct.pack(">iiiibii", -1, 600000, 1, 1 << 20, 0, session, 1) + struct.pack(">ii", 0, 0)
        self.wire.send(request(FETCH, 7, body))
        # It is in that one's hands: another that knows its next epoch does not get it. (Until the first has come, the epoch is not that yet.)
        self.assertEqual(self.fetch(session, 2, wire=other)[0], 71)
        other.send(produce(BATCH, b"u", 3))
        other.response()
        error, same, found = self.parse(self.wire.response()[1], 7)
        self.assertEqual((error, same, list(found)), (0, session, [(b"u", 3)]))
        self.assertEqual(self.fetch(session, 2, [(b"u", 3, 2)])[0], 0)
        # A connection that ends while it waits leaves the session to the next, whether it has come to its turn or not.
        gone = self.connect()
        gone.send(request(METADATA, 1, struct.pack(">i", 0)) + request(FETCH, 7, struct.pack(">iiiibii", -1, 600000, 1, 1 << 20, 0, session, 3) + struct.pack(">ii", 0, 0)))
        gone.response()
        gone.socket.close()
        end = time.monotonic() + LIMIT_S
        while all(self.fetch(session, epoch, wire=other)[0] == 71 for epoch in (4, 3)):
            self.assertLess(time.monotonic(), end)

    def test_those_with_records_are_read_last(self):
        """So that one that always has some does not keep the others from being read."""
        for topic, index, _ in self.ALL:
            for _ in range(3):
                self.produce(topic, index)
        _, session, found = self.fetch(0, 0, self.ALL, max_bytes=1)
        seen = [place for place, f in found.items() if f[3]]
        for epoch in range(1, 8):
            _, _, found = self.fetch(session, epoch, max_bytes=1)
            seen += [place for place, f in found.items() if f[3]]
        self.assertEqual(seen, [(t, i) for t, i, _ in self.ALL] * 2)

    def test_there_are_only_so_many(self):
        sessions = [self.fetch(0, 0, self.ALL[:1])[1] for _ in range(1001)]
        self.assertEqual((len(set(sessions)), sessions[-1], 0 in sessions[:-1]), (1001, 0, False))
        self.fetch(sessions[0], -1, self.ALL[:1])
        self.assertNotEqual(self.fetch(0, 0, self.ALL[:1])[1], 0)

    def test_names_that_no_topic_has_are_not_kept(self):
        """A session has a copy of the name for each partition: 200,000 of them, of a name as long as one pleases, is what a request of 5 MB could ask for."""
        longest, too_long = b"n" * 249, b"n" * 250
        for version in (7, 12):
            error, session, found = self.fetch(0, 0, [(longest, 0, 0)], version=version)
            self.assertEqual((error, session > 0, found), (0, True, {(longest, 0): (3, -1, -1, b"")}))
            self.assertEqual(self.fetch(0, 0, [(b"t", 0, 0), (too_long, 0, 0)], version=version), (0, 0, {(b"t", 0): (0, 0, 0, b""), (too_long, 0): (3, -1, -1, b"")}))
            # Not in one that there is, either: the client begins again.
            self.assertEqual(self.fetch(session, 1, [(too_long, 1, 0)], version=version), (70, 0, {}))
            self.assertEqual(self.fetch(session, 2, version=version)[0], 70)

    def test_many_partitions(self):
        """Lengths of every width in the answer."""
        create = lambda name, n: struct.pack(">i", 1) + string(name) + struct.pack(">ihiii", n, 1, 0, 0, 60000)
        self.ask(CREATE, 0, create(b"w", 300))
        body = self.ask(METADATA, 10, b"\x02" + b"\0" * 16 + b"\x02w\0\0\0\0\0", True)
        self.topics[b"w"] = body[body.index(b"\x02w") + 2:][:16]
        for number, version in enumerate((11, 12, 13, 17)):
            places = [(b"w", i, 2 * number if i in (7, 250) else 0) for i in range(300)]
            _, session, found = self.fetch(0, 0, places, version=version)
            self.assertEqual(set(found), {(b"w", i) for i in range(300)})
            self.assertEqual(self.fetch(session, 1, version=version)[2], {})
            for i in (7, 250):
                self.produce(b"w", i)
            _, _, found = self.fetch(session, 2, version=version)
            self.assertEqual({i for (_, i), f in found.items() if f[3]}, {7, 250})
            self.fetch(session, -1, places[:1], version=version)

    def test_drawn_readers(self):
        draw = random.Random(227)
        places = [(t, i) for t in (b"t", b"u", b"v") for i in range(4)]
        ends = {place: 0 for place in places}
        readers = [{"version": v, "session": 0, "epoch": 0, "at": {}, "told": {}} for v in (7, 11, 12, 13, 17)]
        for step in range(600):
            if draw.random() < 0.4:
                place = draw.choice(places)
                self.produce(*place)
                ends[place] += 2
                continue
            r = draw.choice(readers)
            if r["epoch"] == 0 or draw.random() < 0.02:
                asked, forgotten, known = draw.sample(places, draw.randrange(1, 13)), [], {}
                epoch = 0
            else:
                known, epoch = r["told"], r["epoch"]
                rest = [p for p in places if p not in known]
                asked = [p for p in known if known[p] != r["at"][p]] + draw.sample(rest, draw.randrange(len(rest) + 1)) * (draw.random() < 0.2)
                forgotten = [p for p in known if p not in asked and draw.random() < 0.05]
            error, session, found = self.fetch(r["session"], epoch, [(*p, r["at"].get(p, 0)) for p in asked], forgotten, r["version"], max_bytes=draw.choice((1, 200, 1 << 20)))
            self.assertEqual(error, 0)
            told = {p: o for p, o in known.items() if p not in forgotten}
            told.update({p: r["at"].setdefault(p, 0) for p in asked})
            if epoch == 0:
                self.assertEqual(set(found), set(asked))
            self.assertLessEqual(set(found), set(told))
            for place, (code, high, start, records) in found.items():
                self.assertEqual((code, high, start), (0, ends[place], 0))
                self.assertEqual(len(records) % len(BATCH), 0)
                for i in range(0, len(records), len(BATCH)):
                    base, = struct.unpack(">q", records[i:i + 8])
                    self.assertEqual(base, r["at"][place])
                    r["at"][place] += 2
            # Something is there to read, so something is read.
            if any(told[p] < ends[p] for p in told):
                self.assertTrue(any(f[3] for f in found.values()))
            r["told"] = told
            r["session"], r["epoch"] = session, epoch + 1 if session else 0
        self.assertEqual(self.server.said(), "")


if __name__ == "__main__":
    unittest.main()
