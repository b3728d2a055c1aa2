#!/usr/bin/env python3
"""Produce, Fetch and ListOffsets on the wire: Kafka's own bytes in and out, every error that has a number, waiting. The batch is one that Kafka's classes wrote."""
import os
import struct
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../support"))
from wire_server import Case, request, string

PRODUCE, FETCH, LIST_OFFSETS, METADATA = 0, 1, 2, 3
# Two records {k=v, header h=x}, {null=w} of 1700000000000 and 5 ms later.
BATCH = bytes.fromhex("000000000000000000000046ffffffff027a79b0760000000000010000018bcfe568000000018bcfe56805ffffffffffffffffffffffffffff"
                      "0000000218000000026b027602026802780e000a0201027700")
TIME = 1700000000000


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def patched(at, data, batch=BATCH):
    batch = batch[:at] + data + batch[at + len(data):]
    return batch[:17] + struct.pack(">I", crc32c(batch[21:])) + batch[21:]


def produce(batch, topic=b"t", partition=0, acks=-1, timeout_ms=60000, version=3):
    records = struct.pack(">i", -1) if batch is None else struct.pack(">i", len(batch)) + batch
    return request(PRODUCE, version, struct.pack(">hhii", -1, acks, timeout_ms, 1) + string(topic) + struct.pack(">ii", 1, partition) + records)


def fetch(offset, topic=b"t", partition=0, wait_ms=0, min_bytes=1, max_bytes=1 << 20, isolation=1, version=4, epoch=-1, session=0, session_epoch=-1):
    body = struct.pack(">iiiib", -1, wait_ms, min_bytes, max_bytes, isolation)
    body += struct.pack(">ii", session, session_epoch) if version >= 7 else b""
    body += struct.pack(">i", 1) + string(topic) + struct.pack(">ii", 1, partition)
    body += struct.pack(">i", epoch) if version >= 9 else b""
    body += struct.pack(">q", offset) + (struct.pack(">q", -1) if version >= 5 else b"") + struct.pack(">i", 1 << 20)
    body += struct.pack(">i", 0) if version >= 7 else b""
    body += string(b"") if version >= 11 else b""
    return request(FETCH, version, body)


def list_offsets(timestamp, topic=b"t", partition=0, version=1):
    isolation = b"\0" if version >= 2 else b""
    epoch = struct.pack(">i", -1) if version >= 4 else b""
    return request(LIST_OFFSETS, version, struct.pack(">i", -1) + isolation + struct.pack(">i", 1) + string(topic) + struct.pack(">ii", 1, partition) + epoch +
                   struct.pack(">q", timestamp))


class Records(Case):
    def setUp(self):
        super().setUp()
        self.wire = self.connect()
        self.wire.send(request(METADATA, 1, struct.pack(">i", 1) + string(b"t")))
        self.wire.response()

    def ask(self, data):
        self.wire.send(data)
        return self.wire.response()[1]

    def produced(self, *arguments, **more):
        """Error and base offset, of version 3: array, name, array, index, error, base offset, append time, throttle time."""
        body = self.ask(produce(*arguments, **more))
        self.assertEqual(body[:7 + 4], struct.pack(">i", 1) + string(b"t") + struct.pack(">i", 1))
        _, error, base, append_time, throttle = struct.unpack(">ihqqi", body[11:])
        self.assertEqual((append_time, throttle), (-1, 0))
        return error, base

    def parsed_fetch(self, body, version=4):
        at = 4
        if version >= 7:
            self.assertEqual(struct.unpack(">hi", body[4:10]), (0, 0))
            at = 10
        at += 4 + 3 + 4
        _, error, high_watermark, stable = struct.unpack(">ihqq", body[at:at + 22])
        at += 22 + (8 if version >= 5 else 0)
        aborted, = struct.unpack(">i", body[at:at + 4])
        at += 4 + (4 if version >= 11 else 0)
        size, = struct.unpack(">i", body[at:at + 4])
        self.assertEqual(len(body), at + 4 + size)
        return error, high_watermark, stable, aborted, body[at + 4:]

    def fetched(self, *arguments, version=4, **more):
        return self.parsed_fetch(self.ask(fetch(*arguments, version=version, **more)), version)

    def one_record(self, size):
        """A batch of one record with null key and so long a value."""
        def varint(n):
            n, out = n << 1 ^ n >> 63, b""
            while n > 127:
                out, n = out + bytes([n & 127 | 128]), n >> 7
            return out + bytes([n])
        body = b"\0\0\0" + varint(-1) + varint(size) + b"x" * size + b"\0"
        record = varint(len(body)) + body
        return BATCH[:8] + struct.pack(">i", 49 + len(record)) + BATCH[12:23] + struct.pack(">i", 0) + BATCH[27:61] + record

    def test_bytes_come_back_as_they_went_in(self):
        self.assertEqual(self.produced(BATCH), (0, 0))
        self.assertEqual(self.produced(BATCH), (0, 2))
        stored = lambda base: struct.pack(">q", base) + BATCH[8:12] + struct.pack(">i", 0) + BATCH[16:]
        for version in (4, 5, 6, 7, 8, 9, 10, 11):
            error, high_watermark, stable, aborted, records = self.fetched(0, version=version)
            self.assertEqual((error, high_watermark, stable, aborted), (0, 4, 4, 0))
            self.assertEqual(records, stored(0) + stored(2))
        # The batch that holds the offset; nothing at the end; no list of aborted ones for who reads all.
        self.assertEqual(self.fetched(3)[4], stored(2))
        self.assertEqual(self.fetched(4), (0, 4, 4, 0, b""))
        self.assertEqual(self.fetched(4, isolation=0)[3], -1)
        # The first batch comes whole, whatever the limit.
        for limit in (1, 0, -5):
            self.assertTrue(self.fetched(0, max_bytes=limit)[4].startswith(stored(0)))
        large = patched(57, struct.pack(">i", 1), self.one_record(200000))
        self.assertEqual([self.produced(large), self.produced(large)], [(0, 4), (0, 5)])
        self.assertEqual(len(self.fetched(4, max_bytes=1000)[4]), len(large))
        self.assertEqual(len(self.fetched(4, max_bytes=300000)[4]), len(large))
        self.assertEqual(len(self.fetched(4, max_bytes=500000)[4]), 2 * len(large))

    def test_errors_of_produce(self):
        for batch, error in ((BATCH[:-1] + b"\1", 2), (BATCH[:40], 2), (b"", 2), (None, 87), (BATCH + BATCH, 87), (BATCH[:16] + b"\1" + BATCH[17:], 87),
                             (patched(22, b"\x20"), 87), (patched(57, struct.pack(">i", 3)), 87), (patched(23, struct.pack(">i", 5)), 87),
                             (patched(61, b"\x7f"), 87), (patched(22, b"\x10"), 53), (patched(22, b"\x04"), 76), (patched(22, b"\x07"), 76),
                             (patched(35, struct.pack(">q", 1 << 50)), 32)):
            self.assertEqual(self.produced(batch)[0], error, batch and batch.hex())
        self.assertEqual(self.produced(BATCH, partition=1)[0], 3)
        self.assertEqual(self.produced(BATCH, partition=-1)[0], 3)
        self.assertEqual(self.produced(BATCH, acks=2)[0], 21)
        self.assertEqual(self.produced(BATCH, acks=1), (0, 0))
        self.assertEqual(self.server.said(), "")

    def test_acks_0(self):
        """No response; when it fails the connection ends."""
        self.wire.send(produce(BATCH, acks=0))
        self.assertEqual(self.produced(BATCH), (0, 2))
        self.wire.send(produce(BATCH[:-1] + b"\1", acks=0))
        self.assertTrue(self.wire.is_closed())

    def test_idempotence(self):
        """A batch that is sent again gets its first offset; a gap and an older epoch are refused."""
        numbered = lambda sequence, epoch=0: patched(43, struct.pack(">qhi", 77, epoch, sequence))
        self.assertEqual([self.produced(numbered(0)), self.produced(numbered(2)), self.produced(numbered(0))], [(0, 0), (0, 2), (0, 0)])
        self.assertEqual(self.produced(numbered(6))[0], 45)
        self.assertEqual(self.produced(numbered(0, epoch=1)), (0, 4))
        self.assertEqual(self.produced(numbered(4))[0], 47)

    def test_nothing_of_a_request_that_cannot_be_read_is_written(self):
        self.wire.send(request(PRODUCE, 3, struct.pack(">hhii", -1, 1, 1000, 1) + string(b"t") + struct.pack(">ii", 2, 0) +
                               struct.pack(">i", len(BATCH)) + BATCH + struct.pack(">ii", 0, 1000)))
        self.assertTrue(self.wire.is_closed())
        self.wire = self.connect()
        self.assertEqual(self.fetched(0)[1], 0)

    def test_errors_of_fetch(self):
        self.produced(BATCH)
        self.assertEqual([self.fetched(offset)[0] for offset in (-1, 3, 1 << 62)], [1, 1, 1])
        self.assertEqual(self.fetched(0, partition=1)[0], 3)
        # Errors are answered at once.
        self.assertEqual(self.fetched(9, wait_ms=600000)[0], 1)
        self.assertEqual([self.fetched(0, version=9, epoch=epoch)[0] for epoch in (-1, 0, 1)], [0, 0, 75])
        body = self.ask(fetch(0, version=7, session=12, session_epoch=1))
        self.assertEqual(body, struct.pack(">ihii", 0, 70, 0, 0))

    def test_a_fetch_waits_for_records(self):
        """It is answered by what another client writes; its own connection waits behind it, others do not."""
        reader = self.connect()
        reader.send(fetch(0, wait_ms=600000) + request(METADATA, 1, struct.pack(">i", 0), correlation=8))
        self.assertEqual(self.produced(BATCH), (0, 0))
        correlation, body = reader.response()
        self.assertEqual((correlation, self.parsed_fetch(body)[1:3]), (7, (2, 2)))
        self.assertEqual(reader.response()[0], 8)

    def test_a_fetch_waits_for_enough(self):
        self.produced(BATCH)
        reader = self.connect()
        reader.send(fetch(0, wait_ms=600000, min_bytes=3 * len(BATCH)))
        self.produced(BATCH)
        self.produced(BATCH)
        self.assertEqual(len(self.parsed_fetch(reader.response()[1])[4]), 3 * len(BATCH))

    def test_a_fetch_waits_no_longer_than_it_said(self):
        begin = time.monotonic()
        self.assertEqual(self.fetched(0, wait_ms=200), (0, 0, 0, 0, b""))
        self.assertGreaterEqual(time.monotonic() - begin, 0.19)

    def test_a_stop_answers_who_waits(self):
        reader = self.connect()
        reader.send(fetch(0, wait_ms=600000))
        self.produced(BATCH, acks=1)
        reader.response()
        reader.send(fetch(2, wait_ms=600000))
        self.produced(None)
        stopper = threading.Thread(target=self.server.stop)
        stopper.start()
        self.assertEqual(self.parsed_fetch(reader.response()[1])[0], 0)
        stopper.join()

    def test_many_wait_for_one_flush(self):
        """Pipelined produces are answered in order, and each offset is given once."""
        for i in range(200):
            self.wire.send(produce(BATCH))
        offsets = [struct.unpack(">q", self.wire.response()[1][17:25])[0] for _ in range(200)]
        self.assertEqual(offsets, list(range(0, 400, 2)))

    def test_requests_sent_together_are_answered_in_order(self):
        """Whatever they wait for: a write, a flush, nothing at all, a refusal; what asks for something else stands among them."""
        expected, sent, end = [], b"", 0
        for i in range(120):
            kind = i * 7 % 5
            if kind == 0:
                sent += produce(BATCH, acks=0)
            elif kind == 1:
                sent += request(METADATA, 1, struct.pack(">i", 0), correlation=i)
                expected.append((i, None))
                continue
            elif kind == 2:
                sent += self.numbered(produce(BATCH[:-1] + b"\1", acks=1), i)
                expected.append((i, (2, -1)))
                continue
            else:
                sent += self.numbered(produce(BATCH, acks=1 if kind == 3 else -1), i)
                expected.append((i, (0, end)))
            end += 2
        self.wire.send(sent)
        for i, result in expected:
            correlation, body = self.wire.response()
            self.assertEqual(correlation, i)
            if result is not None:
                self.assertEqual(struct.unpack(">hq", body[15:25]), result)
        self.assertEqual(self.produced(BATCH), (0, end))

    def test_nothing_behind_a_request_that_cannot_be_read_is_done(self):
        broken = request(PRODUCE, 3, struct.pack(">hhii", -1, 1, 1000, 9))
        self.wire.send(produce(BATCH, acks=1) * 5 + broken + produce(BATCH, acks=1) * 5)
        for i in range(5):
            self.assertEqual(struct.unpack(">q", self.wire.response()[1][17:25])[0], 2 * i)
        self.assertTrue(self.wire.is_closed())
        self.wire = self.connect()
        self.assertEqual(self.produced(BATCH), (0, 10))

    @staticmethod
    def numbered(data, correlation):
        return data[:8] + struct.pack(">i", correlation) + data[12:]

    def listed(self, timestamp, version=1, **more):
        body = self.ask(list_offsets(timestamp, version=version, **more))
        at = (4 if version >= 2 else 0) + 4 + 3 + 4 + 4
        error, found, offset = struct.unpack(">hqq", body[at:at + 18])
        self.assertEqual(len(body), at + 18 + (4 if version >= 4 else 0))
        return error, found, offset

    def test_offsets_by_time(self):
        self.assertEqual([self.listed(t) for t in (-1, -2, TIME)], [(0, -1, 0), (0, -1, 0), (0, -1, -1)])
        self.produced(BATCH)
        self.produced(patched(27, struct.pack(">qq", TIME + 1000, TIME + 1005)))
        for version in (1, 2, 3, 4, 5):
            self.assertEqual([self.listed(t, version) for t in (-1, -2, 0, TIME, TIME + 1, TIME + 6, TIME + 1005, TIME + 1006)],
                             [(0, -1, 4), (0, -1, 0), (0, TIME, 0), (0, TIME, 0), (0, TIME + 5, 1), (0, TIME + 1000, 2), (0, TIME + 1005, 3), (0, -1, -1)])
        self.assertEqual(self.listed(-3)[0], 35)
        self.assertEqual(self.listed(-1, partition=5), (3, -1, -1))
        # Version 7 is flexible: topics 1, "t", partitions 1, index, epoch, time, tags.
        for timestamp, offset, version in ((-3, 3, 7), (-4, 0, 8), (-5, -1, 9)):
            body = self.ask(request(LIST_OFFSETS, version, struct.pack(">ib", -1, 0) + b"\x02\x02t\x02" + struct.pack(">iiq", 0, -1, timestamp) + b"\0\0\0", tags=b"\0"))
            error, _, found = struct.unpack(">hqq", body[1 + 4 + 4 + 4:1 + 4 + 4 + 4 + 18])
            self.assertEqual((error, found), (0, offset))

    def test_what_was_acknowledged_is_there_after_a_kill(self):
        for base in range(0, 20, 2):
            self.assertEqual(self.produced(BATCH), (0, base))
        self.server.process.kill()
        self.server.process.wait()
        self.server = self.start()
        self.wire = self.connect()
        self.assertEqual(self.fetched(0)[1], 20)


if __name__ == "__main__":
    unittest.main()
