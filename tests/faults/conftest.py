"""After the tests: a table of what was injected and what was lost, from what they recorded."""

import re


def pytest_terminal_summary(terminalreporter) -> None:
    rows = {}
    for report in terminalreporter.stats.get("passed", []) + terminalreporter.stats.get("failed", []):
        told = dict(report.user_properties)
        fault = re.search(r"tests/faults/.*::test_([a-z]\d+)_", report.nodeid)
        if fault and report.when == "call" and "injected" in told:
            row = (fault[1].upper(), told["injected"], told["lost"])
            rows[row] = rows.get(row, 0) + 1
    if not rows:
        return
    terminalreporter.section("what was injected and what was lost")
    terminalreporter.write_line("| | injected | lost |\n|---|---|---|")
    for fault, injected, lost in sorted(rows, key=lambda row: (row[0][0], int(row[0][1:]))):
        terminalreporter.write_line(f"| {fault} | {injected} | {lost} |")
