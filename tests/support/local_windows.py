"""Windows by local clocks, from Python's zoneinfo: one line "zone unit count time start end" (ms) a case, for tests/unit/operators/test_window_local.c.

Nothing here knows spans or rules: zoneinfo is asked for the offset at single instants. A calendar window begins at the first instant at which the wall
clock shows its boundary or more, found by walking the quarters of an hour and halving the last one. A window of one hour ends where the wall clock's
hour changes or the clock is put back, found by walking minutes.

    local_windows.py SEED CASES-PER-ZONE
"""
import datetime as dt
import random
import sys
import zoneinfo

UTC = dt.timezone.utc
EPOCH = dt.datetime(1970, 1, 1)
HOUR, DAY = 3600, 86400
UNITS = ["hour"] * 3 + ["day"] * 4 + ["week", "month"]
COUNTS = {"hour": [1, 1, 1, 2, 6, 12], "day": [1, 1, 1, 2, 7], "week": [1, 1, 2], "month": [1, 1, 3, 12]}


def wall(zone, t):
    """The wall clock at t, in seconds since 1970 as if local were UTC."""
    return t + int(dt.datetime.fromtimestamp(t, UTC).astimezone(zone).utcoffset().total_seconds())


def boundary(clock, unit, count):
    """The boundary at or before a wall clock, and the next one."""
    date = (EPOCH + dt.timedelta(seconds=clock)).date()
    days = (date - EPOCH.date()).days
    if unit == "hour":
        at = clock - clock % (count * HOUR)
        return at, at + count * HOUR
    if unit == "day":
        at = days - days % count
        return at * DAY, (at + count) * DAY
    if unit == "week":
        monday = days - date.weekday()
        weeks = (monday - 4) // 7
        at = monday - weeks % count * 7
        return at * DAY, (at + 7 * count) * DAY
    months = (date.year - 1970) * 12 + date.month - 1
    first = months - months % count

    def start(index):
        return (dt.date(1970 + index // 12, index % 12 + 1, 1) - EPOCH.date()).days * DAY

    return start(first), start(first + count)


def first_instant(zone, clock):
    step = 900
    at = (clock - 27 * HOUR) // step * step
    while wall(zone, at) < clock:
        at += step
    low = at - step
    while at - low > 1:
        middle = (at + low) // 2
        if wall(zone, middle) >= clock:
            at = middle
        else:
            low = middle
    return at


def calendar_window(zone, t, unit, count):
    begin, after = boundary(wall(zone, t), unit, count)
    start, end = first_instant(zone, begin), first_instant(zone, after)
    while end <= t:
        start = end
        _, after = boundary(after, unit, count)
        end = first_instant(zone, after)
    return start, end


def hour_window(zone, t):
    def parted(before, after):
        a, b = wall(zone, before), wall(zone, after)
        return a // HOUR != b // HOUR or b <= a

    start, end = t - t % 60, t - t % 60 + 60
    while not parted(start - 60, start):
        start -= 60
    while not parted(end - 60, end):
        end += 60
    return start, end


def near_a_change(zone, chance):
    """An instant within two days of a change of the offset, if there is one in the year that is drawn."""
    t = chance.randrange(1973, 2100) * 31556952 - 1970 * 31556952
    if chance.randrange(8) == 0:
        t += 400 * 31556952
    offset = wall(zone, t) - t
    for day in range(366):
        at = t + day * DAY
        if wall(zone, at) - at != offset:
            return at + chance.randrange(-2 * DAY, DAY)
    return t + chance.randrange(366 * DAY)


def main():
    chance = random.Random(int(sys.argv[1]))
    for name in sorted(zoneinfo.available_timezones()):
        if name.startswith(("right/", "posix/")) or name in ("localtime", "posixrules", "Factory"):
            continue
        zone = zoneinfo.ZoneInfo(name)
        for _ in range(int(sys.argv[2])):
            unit = chance.choice(UNITS)
            count = chance.choice(COUNTS[unit])
            t = near_a_change(zone, chance)
            start, end = hour_window(zone, t) if (unit, count) == ("hour", 1) else calendar_window(zone, t, unit, count)
            print(name, unit, count, t * 1000 + chance.randrange(1000), start * 1000, end * 1000)


main()
