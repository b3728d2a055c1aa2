"""wire_group.py: a group of three, each member a process of a client; for wire_clients.py.

share_a_group(start) starts members with the caller's function, ends and kills them, and looks after each step at who has how many of the topic's six partitions and whether all
that was written is read. What a member does and prints is said in Member.
"""
import signal
import subprocess
import threading

from wire_run import Failed, check, same, until
from kafka_broker import start_process


class Member:
    """A process that is a member of a group until SIGTERM, upon which it commits and leaves. It prints "has N" whenever the number of its partitions has changed, writes ten records to
    each partition that it is newly given ("sent PARTITION OFFSET"), reads ("read PARTITION OFFSET") and commits what it has read."""

    def __init__(self, command, **options):
        self.has, self.sent, self.read = None, set(), set()
        self.process = start_process(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
        self.listeners = [threading.Thread(target=listen, daemon=True) for listen in (self.listen, self.hear)]
        self.complaints = []
        for listener in self.listeners:
            listener.start()

    def listen(self):
        for line in self.process.stdout:
            self.take(line)

    def take(self, line):
        match line.split():
            case ["has", count]:
                self.has = int(count)
            case ["sent" | "read" as what, partition, offset]:
                getattr(self, what).add((int(partition), int(offset)))

    def hear(self):
        self.complaints.extend(self.process.stderr)

    def end(self, how):
        self.process.send_signal(how)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            raise Failed(f"a member does not end: {self.complaints[-20:]}")
        for listener in self.listeners:
            listener.join()
        self.process.stdout.close()
        self.process.stderr.close()


class Group:
    """Members that come, go and are killed: they share six partitions, all that was written is read, and who takes over does not read what was committed."""

    def __init__(self, start):
        self.start, self.members, self.sent, self.read = start, [], set(), set()

    def join(self):
        self.members.append(self.start())

    def leave(self, how):
        """The one that has been there longest."""
        member = self.members.pop(0)
        member.end(how)
        self.sent |= member.sent
        self.read |= member.read

    def union(self, what):
        return getattr(self, what).union(*(getattr(m, what) for m in list(self.members)))

    def wait(self, *shares):
        def done():
            for member in self.members:
                check(member.process.poll() is None, f"a member has ended: {''.join(member.complaints[-20:])}")
            return [m.has for m in self.members] == list(shares) and all(m.sent for m in self.members) and self.union("sent") <= self.union("read")
        until(done, lambda: f"members with {shares} partitions, which have read all: have {[m.has for m in self.members]}, {len(self.union('sent') - self.union('read'))} unread, "
              f"say {[m.complaints[-5:] for m in self.members]}")

    def live(self):
        for shares in ((6,), (3, 3), (2, 2, 2)):
            self.join()
            self.wait(*shares)
        self.leave(signal.SIGKILL)
        self.wait(3, 3)
        self.leave(signal.SIGTERM)
        self.wait(6)
        self.leave(signal.SIGTERM)
        before = self.union("read")
        self.join()
        self.wait(6)
        same(sorted(self.members[0].read & before), [], "records that were read and committed come again")
        self.leave(signal.SIGTERM)

    def kill(self):
        for member in self.members:
            member.end(signal.SIGKILL)


def share_a_group(start):
    group = Group(start)
    try:
        group.live()
    finally:
        group.kill()
