"""Runs the steps of a script, all of them, and tells which went wrong."""

import inspect
import json
import os
import sys
import time
import traceback
import types

case = types.SimpleNamespace(**json.load(open(os.environ["CASE"])))
steps = []


def step(does):
    steps.append(does)
    return does


def eventually(what, holds, limit=20.0):
    end = time.monotonic() + limit
    while not holds():
        assert time.monotonic() < end, f"not in time: {what}"
        time.sleep(0.05)


def raised(kind, does):
    """The error of the given class, exactly, that does() raises."""
    try:
        got = does()
    except Exception as e:
        assert type(e) is kind, f"{type(e).__name__} instead of {kind.__name__}: {e}"
        return e
    raise AssertionError(f"no {kind.__name__}, but {got!r}")


def run():
    only, failed = os.environ.get("STEP", ""), 0
    for does in steps:
        if only not in does.__name__:
            continue
        began, ending = time.monotonic(), "ok  "
        try:
            does()
        except Exception:
            ending, failed = "FAIL", failed + 1
            traceback.print_exc(limit=-3, file=sys.stdout)
        print(f"{ending} {does.__name__} ({inspect.getdoc(does) or '-'}) {time.monotonic() - began:.2f} s", flush=True)
    if failed or not steps:
        raise SystemExit(f"{failed} of {len(steps)} steps failed")
