#!/usr/bin/env python3
"""The visits example: CSV in, CSV, text and JSON out, with sessions, hopping windows and C functions; every record against a computation in Python."""
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
import visits_oracle
from jobs import ROOT, SAMPLES, Log, read_bytes

SAMPLE = SAMPLES / "online-retail.csv.gz"
LINES = read_bytes(SAMPLE).splitlines(keepends=True)[1:]
TO_THE_END = ("--until-end", "--close-windows")


class Visits(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        rows = list(visits_oracle.read_rows(SAMPLE))
        cls.expected = {topic: sorted(compute(rows)) for topic, compute in visits_oracle.TOPICS.items()}

    def produce(self, log, lines, partitions):
        log.run("weir", "produce", "retail-lines", "--partitions", partitions, stdin=b"".join(lines))

    def assert_results(self, log):
        for topic, lines in self.expected.items():
            with self.subTest(topic=topic):
                found = log.run("weir", "consume", topic, "--until-end", "--format", "value").stdout.splitlines()
                self.assertEqual(sorted(found), lines)
        for topic in ("visits.dlq", "visits.late", "line-values.late", "words.late"):
            self.assertEqual(log.records(topic), [], topic)

    def test_the_expected_file_is_the_oracles(self):
        self.assertEqual((ROOT / "examples/visits/expected.csv").read_text().splitlines(), self.expected["visits"])
        self.assertGreater(min(map(len, self.expected.values())), 50)

    def test_any_partition_count(self):
        for partitions, threads in ((1, 1), (3, 2)):
            with self.subTest(partitions=partitions, threads=threads), Log() as log:
                self.produce(log, LINES, partitions)
                log.run("visits", *TO_THE_END, "--threads", threads)
                self.assert_results(log)

    def test_in_pieces(self):
        with Log() as log:
            for begin, end in ((0, 2500), (2500, 2501), (2501, 6000)):
                self.produce(log, LINES[begin:end], 1)
                log.run("visits", "--until-end")
            log.run("visits", *TO_THE_END)
            self.assert_results(log)

    def test_lines_that_are_no_csv_are_dead_letters(self):
        bad = [b'536365,"22752,SET,2,2010-12-01 08:26:00,7.65,17850.0,UK\n', b"536365,22752,SET,2,2010-12-01 08:26:00,7.65,17850.0\n",
               b"536365,22752,SET,two,2010-12-01 08:26:00,7.65,17850.0,UK\n"]
        with Log() as log:
            self.produce(log, [*bad, *LINES[:10]], 1)
            log.run("visits", *TO_THE_END)
            dead = log.run("weir", "consume", "visits.dlq", "--until-end", "--format", "value").stdout.splitlines()
            # Four stages read the topic, and one of them puts each aside.
            self.assertEqual(sorted(dead), sorted(line.decode().rstrip() for line in bad))


if __name__ == "__main__":
    unittest.main(verbosity=2)
