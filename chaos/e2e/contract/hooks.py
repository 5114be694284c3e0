"""What schemathesis is told of LotaBots: which calls would end the run itself, and what an honest answer is.

Loaded by SCHEMATHESIS_HOOKS. The environment:
PROTECTED    ids and names, with commas between, that nothing may remove or change: the run stands on them
MODEL        a deployment that answers
ERRORS       the page of error codes, each with its status
REACHED      how many operations must have succeeded at least once
"""

import hashlib
import json
import os
import re

import schemathesis

protected = set(os.environ["PROTECTED"].split(","))
model = os.environ["MODEL"]
statuses = dict(re.findall(r"^\| `(\w+)` \| (\d+) \|", open(os.environ["ERRORS"]).read(), re.M))
assert len(statuses) > 40, statuses


@schemathesis.hook
def before_call(context, case, kwargs):
    """Keeps what the run stands on, lets two of three requests for inference name a model that there is, and
    most requests not wait for a state that will not come."""
    index = str(case.headers.get("X-LotaBots-State-Index", ""))
    if index.isdigit() and int(index) > 1 and int(index) % 211:
        case.headers["X-LotaBots-State-Index"] = "1"
    if case.method not in ("GET", "HEAD") and case.path.startswith("/admin/"):
        for name, value in list((case.path_parameters or {}).items()):
            if str(value) in protected:
                case.path_parameters[name] = "spared"
    named = (case.path_parameters or {}).get("model")
    if named is not None and hashlib.sha256(repr(named).encode()).digest()[0] % 3:
        case.path_parameters["model"] = model
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str) and case.path.startswith("/v"):
        if hashlib.sha256(repr(sorted(case.body.items(), key=str)).encode()).digest()[0] % 3:
            case.body["model"] = model


@schemathesis.hook
def filter_failure(context, failure, case, response):
    """A path beside one with a parameter is that one's too: Allow tells the methods of both."""
    return not (failure.title == "Allow header mismatch" and case.path == "/v1/responses/input_tokens")


def error_of(response):
    """The error in the form of the route that it came from, or None."""
    try:
        whole = json.loads(response.content)
        told = whole["error"]
    except (ValueError, KeyError, TypeError):
        return None
    return told if isinstance(told, dict) else {**whole, "message": told}  # KServe's


@schemathesis.check
def honest_errors(ctx, response, case):
    """No failure of the server, and no error without a code of the catalogue that fits its status."""
    if response.status_code < 400:
        return
    waits = "X-LotaBots-State-Index" in case.headers or "x-lotabots-state-index" in case.headers
    if case.method == "HEAD":
        assert response.status_code < 500 or (response.status_code == 503 and waits), f"HEAD: {response.status_code}"
        return
    told = error_of(response)
    assert told is not None, f"{response.status_code} without an error: {response.content[:200]!r}"
    code = told.get("code")
    assert code in statuses, f"{response.status_code} {told}"
    assert statuses[code] == str(response.status_code), f"code {code} with status {response.status_code}"
    assert told.get("hint") and told.get("message") and (told.get("request_id") or json.loads(response.content).get("request_id")), told
    hurries = any(name.lower() in ("x-lotabots-deadline", "x-stainless-timeout", "x-stainless-read-timeout") for name in case.headers)
    if response.status_code >= 500:  # a state from the future may be asked for, and is not there, or an answer in no time
        assert code == "state_too_old" and waits or code == "deadline_exceeded" and hurries, f"{response.status_code} {told}"


@schemathesis.check
def whole_streams(ctx, response, case):
    """Every event is JSON, and a stream ends with what says that it is complete, or with an error. The end mark
    alone says nothing: each choice that was begun has told why it ended, and one was."""
    if "text/event-stream" not in str(response.headers.get("content-type")):
        return
    events = [e for e in response.content.decode().split("\n\n") if e and not e.startswith(":")]
    data = [line[6:] for e in events for line in e.split("\n") if line.startswith("data: ")]
    for d in data:
        assert d == "[DONE]" or json.loads(d) is not None, d
    if data[-1:] == ["[DONE]"]:
        choices = [c for d in data[:-1] for c in json.loads(d).get("choices") or []]
        begun, ended = {c.get("index", 0) for c in choices}, {c.get("index", 0) for c in choices if c.get("finish_reason")}
        assert begun and begun == ended, f"[DONE], and of the choices {begun} only {ended} have finished"
    last = data[-1] if data else ""
    assert last == "[DONE]" or events[-1].startswith("event: ") or json.loads(last)["type"].endswith(".done"), events[-1:]


@schemathesis.check
class reached:
    """The run got somewhere: that many operations succeeded. A key that lost its rights would otherwise pass for a good end."""

    def __init__(self):
        self.good, self.tried = set(), set()

    def after_response(self, ctx, response, case):
        at = f"{case.method} {case.path}"
        self.tried.add(at)
        if response.status_code < 400:
            self.good.add(at)

    def after_run(self, ctx):
        described = {at for at in self.tried if at.split()[0] in ("GET", "POST", "PUT", "PATCH", "DELETE")}
        print(f"figure: operations_that_succeeded {len(self.good)} of {len(described)} goal >= {os.environ['REACHED']}")
        wanted = int(os.environ["REACHED"])
        assert len(self.good) >= wanted, f"only {len(self.good)} operations succeeded, of {wanted}"
