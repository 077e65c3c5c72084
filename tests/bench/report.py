# SPDX-License-Identifier: Apache-2.0
"""What the numbers of one run say: ratios, the goals, and both as Markdown and plots."""

import statistics

import svg

READ = "read 4096"


def ratio(results, operation, one, other):
    """How many times as long `one` takes as `other`: (median, lower, upper quartile) of the rounds, or None."""
    found = results["latency"].get(operation, {})
    if one not in found or other not in found:
        return None
    pairs = zip(found[one]["mean_ns"], found[other]["mean_ns"])
    return spread([a / b for a, b in pairs])


def spread(values):
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def time_us(results, operation, name, what="mean_ns"):
    found = results["latency"].get(operation, {}).get(name)
    return statistics.median(found[what]) / 1000 if found else None


# -- Goals ------------------------------------------------------------------------------------------


def goals(results):
    """[{goal, limit, at_most, reached, low, high, met, floor}]; what was not measured is left out. floor: what a
    file system that decides nothing reaches, where the goal is about more than hushfs's own share."""

    def row(goal, limit, operation, one, other):
        """At most `limit` times as long as `other`; or, with hushfs as the other, at least."""
        at_most = other not in ("hushfs", "hushfs-kernel")
        bare = ["floor" if name == "hushfs" and other != "floor" else name for name in (one, other)]
        floor = ratio(results, operation, *bare) if bare != [one, other] else None
        return goal, limit, at_most, ratio(results, operation, one, other), floor

    rows = [
        row("a checked open of 4 KiB, times the floor", 1.15, READ, "hushfs", "floor"),
        row("a checked open is faster than HTTP with a kept connection, times", 1.2, READ, "http", "hushfs"),
        row("a checked open is faster than HTTP with a new connection, times", 4.5, READ, "http-new", "hushfs"),
        row("an open by the kernel of 4 KiB, times tmpfs", 1.6, READ, "hushfs-kernel", "tmpfs"),
        row("an open by the kernel is faster than HTTP with a kept connection, times", 3.5, READ, "http",
            "hushfs-kernel"),
        row("stat, times tmpfs", 1.15, "stat", "hushfs", "tmpfs"),
        row("a listing of 1,000, times tmpfs", 1.0, "list 1000", "hushfs", "tmpfs"),
        *backend_goals(results),
        *idle_goals(results),
    ]  # fmt: skip
    found = []
    for goal, limit, at_most, reached, floor in rows:
        if reached is not None:
            value, low, high = reached
            met = value <= limit if at_most else value >= limit
            found.append({"goal": goal, "limit": limit, "at_most": at_most, "reached": round(value, 3),
                          "low": round(low, 3), "high": round(high, 3), "met": met,
                          "floor": round(floor[0], 3) if floor else None})  # fmt: skip
    return found


def backend_ratios(results, other, what="per_s"):
    """The mount against another that asks OpenBao, as ratio(). per_s: all the time for all the requests."""
    found = results.get("backend")
    if not found:
        return None
    pairs = zip(found["hushfs"][what], found[other][what])
    return spread([b / a if what == "per_s" else a / b for a, b in pairs])


def backend_goals(results):
    reached = backend_ratios(results, "curl")
    return [("a read that asks OpenBao (ttl = 0), times curl over a kept connection", 1.2, True, reached, None)]


def idle_goals(results):
    idle = results.get("idle")
    if not idle:
        return []
    memory = idle["memory_kib"]["after the mount"]
    return [
        ("the idle worker, MiB resident", 8, True, (memory["worker"]["VmRSS"] / 1024,) * 3, None),
        ("the idle keeper, MiB resident", 2, True, (memory["keeper"]["VmRSS"] / 1024,) * 3, None),
        ("a mount answers after, ms", 150, True, spread(idle["mount_ms"]), None),
    ]


# -- Markdown ---------------------------------------------------------------------------------------


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def cell(value, unit=""):
    return "–" if value is None else svg.number(value) + unit


def range_cell(found):
    return "–" if found is None else f"{svg.number(found[0])} ({svg.number(found[1])}–{svg.number(found[2])})"


def goals_table(results):
    rows = [
        [g["goal"], ("≤ " if g["at_most"] else "≥ ") + f"{g['limit']:g}",
         range_cell((g["reached"], g["low"], g["high"])), "yes" if g["met"] else "**no**", cell(g["floor"])]
        for g in results["goals"]
    ]  # fmt: skip
    return table(["goal", "limit", "reached (quartiles of the rounds)", "met", "the floor itself"], rows)


def read_table(results):
    rows = []
    for name, label in results["targets"].items():
        if name in results["latency"].get(READ, {}):
            others = [range_cell(ratio(results, READ, name, "tmpfs")), range_cell(ratio(results, READ, name, "floor")),
                      cell((ratio(results, READ, "http", name) or [None])[0]),
                      cell((ratio(results, READ, "http-new", name) or [None])[0])]  # fmt: skip
            times = [cell(time_us(results, READ, name, what)) for what in ("mean_ns", "median_ns", "p99_ns")]
            rows.append([label, *others, *times])
    return table(["open, read, close of 4 KiB", "× tmpfs", "× floor", "faster than HTTP kept ×", "than HTTP new ×",
                  "mean µs", "median µs", "p99 µs"], rows)  # fmt: skip


def latency_table(results):
    """× tmpfs, and the mean in µs."""
    names = [n for n in results["targets"] if any(n in found for found in results["latency"].values())]
    rows = []
    for operation in results["latency"]:
        row = [operation]
        for name in names:
            times, us = ratio(results, operation, name, "tmpfs"), time_us(results, operation, name)
            row.append("–" if us is None else f"{cell(us)} µs" if times is None else f"{cell(times[0])} ({cell(us)} µs)")
        rows.append(row)
    return table(["operation", *(results["targets"][n] for n in names)], rows)


def rate_table(results):
    rows = []
    for name, label in results["targets"].items():
        row = [label]
        for found in results["rate"].values():
            row.append(cell(statistics.median(found[name]["per_s"]) if name in found else None))
        rows.append(row)
    return table(["4 KiB reads per second", *(f"{n} client{'s' if n != '1' else ''}" for n in results["rate"])], rows)


def first_table(results):
    rows = []
    for name, found in results["first"].items():
        warm = results["latency"]["read 32"][name]["mean_ns"]
        us = statistics.median(found["mean_ns"]) / 1000
        rows.append([results["targets"][name], cell(us), cell(statistics.median(found["p99_ns"]) / 1000),
                     cell(us * 1000 / statistics.median(warm))])  # fmt: skip
    return table(["first read of a file of 32 bytes", "mean µs", "p99 µs", "× a warm one"], rows)


BACKEND = """\
A read that asks OpenBao each time (`ttl = 0`): open, read, close of a file of the mount, which is one field of a KV
v2 secret; against the program `curl`, which gets the URL that the mount asks for, 2,000 times (200 in a quick run) in
one process and over one connection, the answers into /dev/null; and against a client that only writes to a socket and
reads from it. All three share one CPU, the server has the others. The goal is about all the time of a round divided by
its requests: of curl from its start to its end, so that its start, 10 to 20 ms, is in it. The columns behind it are of
single requests (mean: without the slowest tenth); curl's are what it says of each itself, `time_total`, in a run of its
own. That leaves out what the program does between two transfers, so the last column is the stricter one.

"""


def backend_table(results):
    labels = {"curl": "curl, connection kept", "client": "a bare socket, connection kept", "hushfs": "hushfs, ttl = 0"}
    rows = []
    for name, label in labels.items():
        found = results["backend"][name]
        times = [cell(statistics.median(found[what]) / 1000) for what in ("mean_ns", "median_ns", "p99_ns")]
        rows.append([label, cell(1e6 / statistics.median(found["per_s"])), range_cell(backend_ratios(results, name)),
                     *times, range_cell(backend_ratios(results, name, "mean_ns"))])  # fmt: skip
    return BACKEND + table(["asked for each time", "all the time, µs a request", "hushfs takes ×", "mean µs", "median µs",
                            "p99 µs", "hushfs's mean ×"], rows)  # fmt: skip


def memory_table(results):
    rows = []
    for when, processes in results["idle"]["memory_kib"].items():
        for name, sizes in processes.items():
            parts = [cell(sizes[key] / 1024) for key in ("VmRSS", "RssAnon", "RssFile", "RssShmem")]
            rows.append([f"{name} {when}", *parts])
    return table(["MiB resident", "all", "private", "of files", "shared memory"], rows)


def markdown(results):
    m = results["machine"]
    parts = [
        "# hushfs measured\n",
        f"{m['cpus']} CPUs ({m['model']}), Linux {m['kernel']}, load {m['load_before']:.1f} before and "
        f"{m['load_after']:.1f} after. {'A quick run: only to see that it works. ' if results['quick'] else ''}"
        "Targets take turns in slices of some milliseconds; a time is the mean of a slice without its slowest tenth, "
        f"a ratio the median of the ratios of all rounds (in brackets its quartiles). tmpfs itself varied by {results['noise_percent']:.0f} % between the quartiles of "
        "the rounds. Client and server share one CPU, but for the table of rates. The machine decides the "
        "microseconds; the ratios are what can be compared.\n",
        goals_table(results),
    ]
    if READ in results["latency"]:
        parts.append(read_table(results))
    if results["latency"]:
        parts += ["times tmpfs, and the mean:\n", latency_table(results)]
    if results["rate"]:
        parts.append(rate_table(results))
    if results["first"] and "read 32" in results["latency"]:
        parts.append(first_table(results))
    if results.get("backend"):
        parts.append(backend_table(results))
    if results.get("idle"):
        parts.append(memory_table(results))
    return "\n".join(parts)


# -- Plots ------------------------------------------------------------------------------------------


def plots(results):
    """{file name: SVG}"""
    found = {}
    rows = [(label, *ratio(results, READ, name, "tmpfs")) for name, label in results["targets"].items()
            if ratio(results, READ, name, "tmpfs")]  # fmt: skip
    if rows:
        found["read.svg"] = svg.bars("open, read, close of 4 KiB", "times tmpfs, quartiles of the rounds; less is better",
                                     rows)  # fmt: skip
    names = [n for n in ("tmpfs", "hushfs-kernel", "floor", "hushfs") if n in results["targets"]]
    rows = [(op, [(ratio(results, op, n, "tmpfs") or [None])[0] for n in names]) for op in results["latency"]]
    if rows and "tmpfs" in names:
        found["operations.svg"] = svg.groups("operations", "times tmpfs; less is better",
                                             [results["targets"][n] for n in names], rows, mark=1)  # fmt: skip
    rates = results["rate"]
    rows = [(label, [statistics.median(f[name]["per_s"]) if name in f else None for f in rates.values()])
            for name, label in results["targets"].items()] if rates else []  # fmt: skip
    if rows:
        found["rate.svg"] = svg.groups("reads of 4 KiB per second", "more is better",
                                       [f"{n} clients" for n in rates], rows)  # fmt: skip
    if results.get("idle"):
        rows = [(f"{name} {when}", sizes["VmRSS"] / 1024, None, None)
                for when, all_ in results["idle"]["memory_kib"].items() for name, sizes in all_.items()]  # fmt: skip
        found["memory.svg"] = svg.bars("resident memory of a mount", "MiB; less is better", rows)
    return found
