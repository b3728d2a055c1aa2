#!/usr/bin/env python3
"""The billing example: workers that die in any of their transactions, or are killed at any moment, bill each order exactly once."""
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))
from jobs import BUILD

CUSTOMERS = ["Ada", "Grace", "Edsger", "Barbara", "Donald"]


def expected_report(*counts):
    """What "billing report" must print after these calls of "billing order"."""
    cents = Counter()
    for count in counts:
        for number in range(count):
            net = 100 + number * 37 % 9900
            cents[CUSTOMERS[number % 5]] += net + net // 5
    lines = [f"{name:<8} {cents[name] / 100:9.2f}" for name in CUSTOMERS]
    return "\n".join([*lines, f"{sum(counts)} orders, {sum(counts)} invoices", ""])


class Billing(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="weir-billing-")
        self.addCleanup(self.directory.cleanup)

    def billing(self, *arguments):
        return subprocess.run([BUILD / "billing", *map(str, arguments)], capture_output=True, text=True, timeout=120,
                              env={**os.environ, "WEIR_DATA": self.directory.name})

    def assert_billed(self, *counts):
        done = self.billing("work")
        self.assertEqual((done.returncode, done.stdout), (0, "all is billed\n"), done.stderr)
        report = self.billing("report")
        self.assertEqual((report.returncode, report.stdout), (0, expected_report(*counts)), report.stderr)

    def test_without_accidents(self):
        self.assertEqual(self.billing("order", 700).stdout, "700 orders\n")
        self.assert_billed(700)
        self.assert_billed(700)
        self.billing("order", 30)
        self.assert_billed(700, 30)

    def test_death_inside_transactions(self):
        self.billing("order", 1000)
        for transaction in (1, 2, 5, 8):
            died = self.billing("work", "--crash-after", transaction)
            self.assertEqual((died.returncode, died.stdout), (1, ""), died.stderr)
        self.assert_billed(1000)

    def test_kill_at_any_moment(self):
        seed = random.randrange(1 << 30)
        print(f"seed {seed}", file=sys.stderr)
        chance = random.Random(seed)
        self.billing("order", 2000)
        for _ in range(8):
            process = subprocess.Popen([BUILD / "billing", "work"], stdout=subprocess.DEVNULL,
                                       env={**os.environ, "WEIR_DATA": self.directory.name})
            time.sleep(chance.uniform(0, 0.08))  # chance, not synchronisation
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.assert_billed(2000)

    def test_usage(self):
        self.assertIn("usage: billing", self.billing("bill").stderr)


if __name__ == "__main__":
    unittest.main(verbosity=2)
