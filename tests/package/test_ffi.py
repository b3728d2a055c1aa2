#!/usr/bin/env python3
"""weir.h from another language: Python's ctypes, the shared library and the layouts of C, without a line of C.

Holds what the header promises to bindings: no varargs, fixed-width fields, results as arrays that weir_free takes.
"""
import ctypes
import os
import sys
import tempfile
import unittest
from ctypes import POINTER, Structure, byref, c_bool, c_char, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path

BUILD = Path(os.environ.get("WEIR_BUILD_DIR") or Path(__file__).resolve().parents[2] / "build/release")
weir = ctypes.CDLL(str(BUILD / "libweir.so"))
weir.weir_log_error.restype = weir.weir_producer_error.restype = weir.weir_consumer_error.restype = c_char_p
weir.weir_producer_error.argtypes = weir.weir_consumer_error.argtypes = [c_void_p]
RESERVED = ("reserved", c_uint64 * 4)


class Header(Structure):
    _fields_ = [("key", c_char_p), ("key_size", c_size_t), ("value", c_void_p), ("value_size", c_size_t)]


class Record(Structure):
    _fields_ = [("topic", c_char_p), ("key", c_void_p), ("key_size", c_size_t), ("value", c_void_p), ("value_size", c_size_t),
                ("headers", POINTER(Header)), ("header_count", c_size_t), ("timestamp_ms", c_int64), ("flags", c_uint32),
                ("partition", c_int32), ("offset", c_int64), ("tag", c_uint64), RESERVED]


class Delivery(Structure):
    _fields_ = [("tag", c_uint64), ("topic", c_char_p), ("partition", c_int32), ("code", c_int32), ("offset", c_int64)]


DELIVERED = ctypes.CFUNCTYPE(None, c_void_p, POINTER(Delivery))


class ProducerOptions(Structure):
    _fields_ = [("transactional_id", c_char_p), ("codec", c_int), ("linger_ms", c_int32), ("batch_bytes", c_size_t),
                ("memory_bytes", c_size_t), ("transaction_timeout_ms", c_int32), ("delivered", DELIVERED), ("context", c_void_p), RESERVED]


PARTITIONS_FN = ctypes.CFUNCTYPE(None, c_void_p, c_void_p, c_void_p, c_size_t)


class ConsumerOptions(Structure):
    _fields_ = [("group", c_char_p), ("client_id", c_char_p), ("instance_id", c_char_p), ("topics", POINTER(c_char_p)),
                ("topic_count", c_size_t), ("partitions", c_void_p), ("partition_count", c_size_t), ("assignors", c_int * 4),
                ("reset", c_int), ("isolation", c_int), ("session_timeout_ms", c_int32), ("rebalance_timeout_ms", c_int32),
                ("heartbeat_interval_ms", c_int32), ("initial_rebalance_delay_ms", c_int32), ("max_bytes", c_size_t),
                ("max_records", c_size_t), ("assigned", PARTITIONS_FN), ("revoked", PARTITIONS_FN), ("lost", PARTITIONS_FN),
                ("context", c_void_p), RESERVED]


class TopicInfo(Structure):
    _fields_ = [("name", c_char * 256), ("id", c_char * 24), ("partitions", c_int32), ("internal", c_bool), RESERVED]


class FromPython(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="weir-ffi-")
        self.addCleanup(self.directory.cleanup)
        self.log = c_void_p()
        self.works(weir.weir_log_open(self.directory.name.encode(), None, byref(self.log)))
        self.works(weir.weir_topic_create(self.log, b"events", 2, None, 0))

    def tearDown(self):
        self.works(weir.weir_log_close(self.log))

    def works(self, code):
        self.assertEqual(code, 0, weir.weir_log_error())

    def test_there_and_back(self):
        deliveries = []
        note = DELIVERED(lambda _, d: deliveries.append((d.contents.tag, d.contents.code, d.contents.offset)))
        producer = c_void_p()
        self.works(weir.weir_producer_open(self.log, byref(ProducerOptions(delivered=note)), byref(producer)))
        unit = ctypes.create_string_buffer(b"C")
        headers = (Header * 2)(Header(b"unit", 0, ctypes.addressof(unit), 1), Header(b"none", 0, None, 0))
        for tag in range(3):
            key, value = ctypes.create_string_buffer(b"cellar"), ctypes.create_string_buffer(b"19.%d" % tag)
            record = Record(topic=b"events", key=ctypes.addressof(key), key_size=6, value=ctypes.addressof(value), value_size=4,
                            headers=headers, header_count=2, tag=tag)
            self.assertEqual(weir.weir_send(producer, byref(record)), 0, weir.weir_producer_error(producer))
        self.assertEqual(weir.weir_flush(producer, -1), 0)
        self.works(weir.weir_producer_close(producer))
        self.assertEqual(deliveries, [(0, 0, 0), (1, 0, 1), (2, 0, 2)])

        consumer, records, count = c_void_p(), POINTER(Record)(), c_size_t()
        options = ConsumerOptions(group=b"python", topics=(c_char_p * 1)(b"events"), topic_count=1)
        self.works(weir.weir_consumer_open(self.log, byref(options), byref(consumer)))
        self.assertEqual(weir.weir_poll(consumer, 5000, byref(records), byref(count)), 0, weir.weir_consumer_error(consumer))
        self.assertEqual([ctypes.string_at(records[i].value, records[i].value_size) for i in range(count.value)],
                         [b"19.0", b"19.1", b"19.2"])
        first = records[0]
        self.assertEqual(first.header_count, 2)
        self.assertEqual((first.topic, first.offset, ctypes.string_at(first.key, first.key_size)), (b"events", 0, b"cellar"))
        self.assertEqual([(h.key, h.value and ctypes.string_at(h.value, h.value_size)) for h in first.headers[:2]], [(b"unit", b"C"), (b"none", None)])
        self.assertEqual(weir.weir_commit(consumer), 0, weir.weir_consumer_error(consumer))
        self.works(weir.weir_consumer_close(consumer))

    def test_lists(self):
        topics, count = POINTER(TopicInfo)(), c_size_t()
        self.works(weir.weir_topic_list(self.log, byref(topics), byref(count)))
        self.assertEqual([(t.name, t.partitions, t.internal) for t in topics[:count.value]], [(b"events", 2, False)])
        weir.weir_free(topics)
        self.assertEqual(weir.weir_topic_describe(self.log, b"event", None), -5)
        self.assertIn(b"events", weir.weir_log_error())


if __name__ == "__main__":
    unittest.main(verbosity=2)
