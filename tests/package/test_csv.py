#!/usr/bin/env python3
"""CSV in and out against Python's csv module, which knows nothing of weir: rows that it wrote are read, and rows that weir wrote are read by it.

A job of weir.h runs in weir's test driver, through ctypes: CSV → columns → CSV and JSON.
"""
import csv
import ctypes
import io
import json
import os
import random
import unittest
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path

BUILD = Path(os.environ.get("WEIR_BUILD_DIR") or Path(__file__).resolve().parents[2] / "build/release")
weir = ctypes.CDLL(str(BUILD / "libweir.so"))
for name in ("weir_app_open", "weir_source_csv", "weir_map", "weir_filter"):
    getattr(weir, name).restype = c_void_p
weir.weir_app_error.restype = weir.weir_test_error.restype = weir.weir_log_error.restype = c_char_p
WEIR_JSON, WEIR_CSV = 1, 2
ALPHABET = ["a", "b", "ü", "€", "😀", " ", "\t", ",", ";", '"', '""', "\n", "\r", "\r\n", "'", "\\", "\\.", "NULL", "1", "-", "\x00", "\x7f"]


class Record(Structure):
    _fields_ = [("topic", c_char_p), ("key", c_void_p), ("key_size", c_size_t), ("value", c_void_p), ("value_size", c_size_t),
                ("headers", c_void_p), ("header_count", c_size_t), ("timestamp_ms", c_int64), ("flags", c_uint32),
                ("partition", c_int32), ("offset", c_int64), ("tag", c_uint64), ("reserved", c_uint64 * 4)]


def written(row, quoting, end):
    """The row as Python writes it, with any end: a record is a row, and needs none."""
    out = io.StringIO()
    csv.writer(out, quoting=quoting, lineterminator="\r\n").writerow(row)
    return out.getvalue().encode()[:-2] + end


def random_text(rng):
    return "".join(rng.choice(ALPHABET) for _ in range(rng.choice((0, 1, 1, 2, 3, 8, 40))))


class AgainstPython(unittest.TestCase):
    def works(self, code):
        self.assertEqual(code, 0, (weir.weir_test_error(self.test) if self.test else b"", weir.weir_app_error(self.app)))

    def setUp(self):
        self.test = None
        self.app = c_void_p(weir.weir_app_open(b"roundtrip", None))
        columns = c_void_p(weir.weir_map(c_void_p(weir.weir_source_csv(self.app, b"rows", b"a text, b text, c text", None)), b"a, b, c"))
        self.works(weir.weir_to_as(columns, b"csv", WEIR_CSV))
        self.works(weir.weir_to_as(columns, b"json", WEIR_JSON))
        self.works(weir.weir_app_check(self.app))
        self.test = c_void_p()
        self.assertEqual(weir.weir_test_open(self.app, None, byref(self.test)), 0, weir.weir_log_error())

    def tearDown(self):
        if self.test:
            self.works(weir.weir_test_close(self.test))
        weir.weir_app_close(self.app)

    def send(self, value):
        buffer = ctypes.create_string_buffer(value, len(value)) if value else ctypes.create_string_buffer(1)
        record = Record(topic=b"rows", value=ctypes.addressof(buffer), value_size=len(value))
        self.works(weir.weir_test_send_record(self.test, c_int32(0), byref(record)))

    def read(self, topic):
        records, count = POINTER(Record)(), c_size_t()
        self.works(weir.weir_test_read(self.test, topic, byref(records), byref(count)))
        values = [ctypes.string_at(records[i].value, records[i].value_size) for i in range(count.value)]
        weir.weir_free(records)
        return values

    def test_there_and_back(self):
        rng = random.Random(4180)
        rows, nothing_is_null = [], []
        for n in range(3000):
            row = [random_text(rng) if rng.random() < 0.8 else None for _ in range(3)]
            quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
            self.send(written(row, quoting, rng.choice((b"\r\n", b"\n", b""))))
            # Python writes None and the empty text alike: both plain, or both in quotes.
            rows.append([text or ("" if quoting == csv.QUOTE_ALL else None) for text in row])
        self.works(weir.weir_test_run(self.test))
        self.assertEqual([list(json.loads(value).values()) for value in self.read(b"json")], rows)
        records = self.read(b"csv")
        self.assertEqual(len(records), len(rows))
        for value, row in zip(records, rows):
            with self.subTest(value=value):
                text = value.decode()
                self.assertEqual(list(csv.reader(io.StringIO(text, newline=""), strict=True)), [[t or "" for t in row]])
                # An empty text and NULL, which Python's reader cannot tell apart, are what their bytes say.
                self.assertEqual(text, ",".join("" if t is None else csv_field(t) for t in row))

    def test_what_python_refuses_is_a_dead_letter(self):
        refused = [b'"a,b,c', b'"a"x,b,c', b"a,b", b"a,b,c,d", b'"a""', b""]
        for value in refused:
            rows = None
            try:
                rows = list(csv.reader(io.StringIO(value.decode(), newline=""), strict=True))
            except csv.Error:
                pass
            self.assertTrue(rows is None or rows == [] or len(rows[0]) != 3, value)
            self.send(value)
        self.works(weir.weir_test_run(self.test))
        self.assertEqual(self.read(b"csv"), [])
        self.assertEqual(sorted(set(self.read(b"roundtrip.dlq"))), sorted(refused))


def csv_field(text):
    """RFC 4180's rule, and the empty text in quotes."""
    if text == "" or any(c in text for c in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text


if __name__ == "__main__":
    unittest.main()
