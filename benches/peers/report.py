"""Tables, printed and written into the documentation."""

import os
import platform
import re
import statistics

from . import world

PERFORMANCE = world.ROOT / "docs" / "performance.md"
RELIABILITY = world.ROOT / "docs" / "reliability.md"


def case_table(case, result):
    """One case as a Markdown table."""
    rounds = result["rounds"]
    if case.alone:
        columns = list(next(iter(rounds.values()))[0])
        rows = [["", *columns]] + [[name, *(number(figures[column]) for column in columns)] for name, (figures,) in rounds.items()]
        return table(rows)
    rows = [["", "CPU µs a request", f"{case.subject} costs", "requests/s", "p50 ms", "p99 ms"]]
    for name, turns in rounds.items():
        cpu = [t["cpu"] for t in turns]
        spread = f"{statistics.median(cpu):.1f} ({min(cpu):.1f} to {max(cpu):.1f})"
        mine = "" if name == case.subject else f"{ratio(case, result, name):.2f} x"
        rows.append([name, spread, mine, *(number(statistics.median(t[key] for t in turns)) for key in ("rate", "p50", "p99"))])
    return table(rows)


def ratio(case, result, name):
    """What the case's subject costs in processor time over another: of the same round each, so that what the machine did to one it did to
    the other."""
    turns = zip(result["rounds"][case.subject], result["rounds"][name])
    return statistics.median(mine["cpu"] / other["cpu"] for mine, other in turns)


def aims_table(cases, results):
    """All that is aimed at, and what was measured."""
    rows = [["", "over", "must be", "aim", "measured", "reached"]]
    for name, case in cases.items():
        for other, (most, aim) in case.aims.items():
            if other in results.get(name, {}).get("rounds", {}):
                measured = ratio(case, results[name], other)
                reached = "the aim" if aim and measured <= aim else "yes" if measured <= most else "no"
                rows.append([name, other, f"{most:.2f}", f"{aim:.2f}" if aim else "", f"{measured:.2f}", reached])
    return table(rows)


def number(value):
    """Three digits that matter."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def table(rows):
    """Markdown, with columns that line up."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def write_comparison(results, versions):
    """The tables of docs/performance.md."""
    from .cases import CASES

    parts = [f"Versions: {', '.join(f'{name} {version}' for name, version in versions.items())}. {machine()}"]
    for name, case in CASES.items():
        if name in results:
            count = len(next(iter(results[name]["rounds"].values())))
            how = "" if case.alone else f", median of {count} rounds (least to most)"
            parts.append(f"### {case.title}\n\n`make bench-compare ARGS={name}` ({case.command}){how}\n\n{case_table(case, results[name])}")
    parts.append(f"### How that stands to the aims\n\nProcessor time of a request over another's.\n\n{aims_table(CASES, results)}")
    replace_part(PERFORMANCE, "compare", "\n\n".join(parts))


def fault_table(result):
    """What each contestant made of one fault."""
    rows = [["", "failed in the 5 s after", "failed later", "failed at return", "slowest that was answered"]]
    for name, phases in result.items():
        share = lambda p: f"{100 * p['failed'] / max(1, p['sent']):.1f} %"
        slowest = max(phases[p]["slowest"] for p in ("after", "later", "return"))
        rows.append([name, *(share(phases[p]) for p in ("after", "later", "return")), f"{slowest:.2f} s"])
    return table(rows)


def write_failover(results, titles, versions):
    """The tables of docs/reliability.md."""
    parts = [f"Versions: {', '.join(f'{name} {version}' for name, version in versions.items() if name != 'Caddy')}. {machine()}"]
    for fault, title in titles.items():
        if fault in results:
            parts.append(f"**{title[0].upper()}{title[1:]}** (`make failover-report ARGS={fault}`)\n\n{fault_table(results[fault])}")
    replace_part(RELIABILITY, "failover", "\n\n".join(parts))


def machine():
    """What this runs on."""
    with open("/proc/cpuinfo") as info:
        model = re.search(r"model name\s*: (.*)", info.read())
    return f"Machine: {os.cpu_count()} cores of {model.group(1).strip() if model else '?'}, Linux {platform.release().split('-')[0]}."


def replace_part(path, name, text):
    """Puts `text` between a document's markers of that name."""
    begin, end = f"<!-- {name}: written by a command, not by hand -->", f"<!-- end of {name} -->"
    old = path.read_text()
    if begin not in old or end not in old:
        raise SystemExit(f"error: {path} has no place for {name}: it needs the lines {begin} and {end}")
    head, tail = old.split(begin)[0], old.split(end)[1]
    path.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}")
