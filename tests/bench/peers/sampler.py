"""sampler.py: CPU and memory of groups of processes, every 100 ms from /proc.

CPU is user and system time of all threads, ended ones included, as far as the last look at a living process saw it. Memory is RssAnon + RssShmem: what the
page cache holds, of files mapped or read, is not counted.
"""
import os
import threading
import time

TICKS = os.sysconf("SC_CLK_TCK")
EVERY_SECONDS = 0.1


def look(pid):
    """CPU seconds and anonymous bytes of a process; None when it has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        with open(f"/proc/{pid}/status") as file:
            sizes = [line.split() for line in file if line.startswith(("RssAnon:", "RssShmem:"))]
    except OSError:
        return None
    if fields[0] in "ZX":
        return None
    return (int(fields[11]) + int(fields[12])) / TICKS, sum(int(words[1]) for words in sizes) * 1024


class Sampler:
    """Samples while it is entered. groups: name → process ids; what they used before is not counted."""

    def __init__(self, groups):
        self.pids = {name: list(pids) for name, pids in groups.items()}
        self.before = {pid: look(pid)[0] for pids in self.pids.values() for pid in pids}
        self.cpu = {}      # pid → at the last look
        self.samples = []  # (time, {group: CPU seconds}, {group: bytes})
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def add(self, name, pids):
        """Processes that were just started."""
        self.pids = {**self.pids, name: list(pids)}

    def run(self):
        while not self.ended.wait(EVERY_SECONDS):
            cpu, memory = {}, {}
            for name, pids in self.pids.items():
                cpu[name] = memory[name] = 0
                for pid in pids:
                    seen = look(pid)
                    if seen:
                        self.cpu[pid] = seen[0] - self.before.get(pid, 0)
                        memory[name] += seen[1]
                    cpu[name] += self.cpu.get(pid, 0)
            self.samples.append((time.time(), cpu, memory))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def cpu_until(self, name, moment):
        """Of the last look until then, and of the first one after it where there is one."""
        used = 0
        for when, cpu, _ in self.samples:
            used = max(used, cpu.get(name, 0))
            if when >= moment:
                break
        return used

    def peak_mb(self, name=None):
        """The most at one moment, of one group or of all together; MB are 10^6 bytes."""
        return max((memory.get(name, 0) if name else sum(memory.values()) for _, _, memory in self.samples), default=0) / 1e6
