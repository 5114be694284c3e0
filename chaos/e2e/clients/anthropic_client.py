"""Ordinary use of Anthropic's client; base URL and key come from the environment
variables that the library itself reads."""

import time
import urllib.request
import uuid

import anthropic
from pydantic import BaseModel

from steps import case, eventually, raised, run, step

client = anthropic.Anthropic()
question = [{"role": "user", "content": case.question}]


def keyed(key):
    return anthropic.Anthropic(api_key=key, max_retries=0)


def say(text):
    return [{"role": "user", "content": f"Say: {text}"}]


def seen(request):
    with urllib.request.urlopen(f"{case.seen}/{request}") as answer:
        return answer.read().decode()


@step
def messages():
    answer = client.messages.create(model=case.model, max_tokens=200, extra_body={"temperature": 0}, messages=question)
    assert answer.content[0].text == case.answer and answer.stop_reason == "end_turn", answer
    assert answer.usage.input_tokens > 0 and answer.usage.output_tokens > 0 and answer.role == "assistant", answer
    assert answer._request_id, "no request id"
    short = client.messages.create(model=case.mock, max_tokens=2, messages=say("one two three"), system="Be short.", stop_sequences=["x"])
    assert short.content[0].text == "one two " and short.stop_reason == "max_tokens", short


@step
def token_of_authorization():
    other = anthropic.Anthropic(api_key=None, auth_token=client.api_key)
    assert other.messages.create(model=case.mock, max_tokens=20, messages=say("in")).content[0].text == "in"


@step
def streams():
    """the helper, which puts the events together"""
    with client.messages.stream(model=case.model, max_tokens=200, extra_body={"temperature": 0}, messages=question) as stream:
        text = "".join(stream.text_stream)
        final = stream.get_final_message()
    assert text == case.answer and final.stop_reason == "end_turn" and final.usage.output_tokens > 0, final


@step
def raw_streams():
    """every event in its order"""
    kinds = [e.type for e in client.messages.create(model=case.mock, max_tokens=20, messages=say("one two"), stream=True) if e.type != "ping"]
    assert kinds == ["message_start", "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop", "message_delta", "message_stop"], kinds


weather = {"name": "weather", "description": "?", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}
traffic = {**weather, "name": "traffic"}


@step
def tools():
    """calls, their results, the second turn"""
    history = [{"role": "user", "content": "Use weather and traffic."}]
    first = client.messages.create(model=case.mock, max_tokens=100, messages=history, tools=[weather, traffic])
    calls = [b for b in first.content if b.type == "tool_use"]
    assert first.stop_reason == "tool_use" and [c.name for c in calls] == ["weather", "traffic"], first
    assert calls[0].input == {"city": "text"}, calls
    history += [{"role": "assistant", "content": first.content},
                {"role": "user", "content": [{"type": "tool_result", "tool_use_id": c.id, "content": f"{c.name} is well"} for c in calls]}]
    second = client.messages.create(model=case.mock, max_tokens=100, messages=history, tools=[weather, traffic])
    assert second.content[0].text == "The tools said: weather is well, traffic is well.", second
    forced = client.messages.create(model=case.mock, max_tokens=100, messages=question, tools=[weather, traffic], tool_choice={"type": "tool", "name": "traffic"})
    assert [b.name for b in forced.content if b.type == "tool_use"] == ["traffic"], forced


@step
def streamed_tools():
    with client.messages.stream(model=case.mock, max_tokens=100, messages=[{"role": "user", "content": "Use weather and traffic."}], tools=[weather, traffic]) as stream:
        parts = "".join(e.partial_json for e in stream if e.type == "input_json")
        final = stream.get_final_message()
    assert parts == '{"city":"text"}' * 2, parts
    assert [b.input for b in final.content] == [{"city": "text"}] * 2 and final.stop_reason == "tool_use", final


@step
def tool_runner():
    """the library calls the tools by itself until there is an answer"""
    @anthropic.beta_tool
    def weather(city: str) -> str:
        """Tells the weather.

        Args:
            city: where
        """
        return f"rain in {city}"

    final = client.beta.messages.tool_runner(model=case.mock, max_tokens=100, tools=[weather], messages=question).until_done()
    assert final.content[0].text == "The tools said: rain in text.", final


class Step(BaseModel):
    text: str
    number: int


class Plan(BaseModel):
    name: str
    steps: list[Step]


@step
def schemas():
    parsed = client.messages.parse(model=case.mock, max_tokens=100, messages=question, output_format=Plan)
    assert parsed.parsed_output == Plan(name="text", steps=[Step(text="text", number=7)]), parsed


@step
def count_tokens():
    few = client.messages.count_tokens(model=case.model, messages=[{"role": "user", "content": "Hi."}]).input_tokens
    more = client.messages.count_tokens(model=case.model, system="Be short.", messages=question).input_tokens
    assert 0 < few < more, (few, more)


@step
def models():
    assert case.model in [m.id for m in client.models.list()]


@step
def errors():
    """each class is the library's own, with a hint and the request's id"""
    ask = {"model": case.mock, "max_tokens": 10, "messages": question}
    for kind, type, does in [
        (anthropic.AuthenticationError, "authentication_error", lambda: keyed(case.wrong).messages.create(**ask)),
        (anthropic.AuthenticationError, "authentication_error", lambda: keyed(case.revoked).messages.create(**ask)),
        (anthropic.PermissionDeniedError, "permission_error", lambda: keyed(case.narrow).messages.create(**ask)),
        (anthropic.PermissionDeniedError, "permission_error", lambda: keyed(case.mute).messages.create(**ask)),
        (anthropic.NotFoundError, "not_found_error", lambda: client.messages.create(**{**ask, "model": case.mock + "s"})),
        (anthropic.BadRequestError, "invalid_request_error", lambda: client.messages.create(**{**ask, "max_tokens": 0})),
        (anthropic.BadRequestError, "invalid_request_error", lambda: client.messages.create(**{**ask, "messages": []})),
    ]:
        e = raised(kind, does)
        assert e.body["type"] == "error" and e.body["error"]["type"] == type and e.body["error"]["message"], e.body
        assert e.request_id and e.body["request_id"] == e.request_id and e.body["error"]["hint"], (e.request_id, e.body)


@step
def limits():
    """429 tells when to come back, and the library does"""
    limited = keyed(case.limited)
    ask = lambda c: c.messages.create(model=case.mock, max_tokens=10, messages=say("in"))
    refused = None
    for _ in range(80):
        try:
            ask(limited)
        except anthropic.RateLimitError as e:
            refused = e
            break
    assert refused and refused.body["error"]["type"] == "rate_limit_error", refused
    assert int(refused.response.headers["retry-after"]) >= 1
    assert ask(limited.with_options(max_retries=8)).content[0].text == "in"


@step
def timeouts():
    mine = "t-" + uuid.uuid4().hex
    began = time.monotonic()
    raised(anthropic.APITimeoutError, lambda: client.with_options(timeout=1.0, max_retries=0).messages.create(
        model=case.silent, max_tokens=10, messages=question, extra_headers={"X-Request-Id": mine}))
    assert time.monotonic() - began < 5
    eventually("the engine is told", lambda: '"cancelled":1' in seen(mine))


@step
def cancellation():
    mine = "c-" + uuid.uuid4().hex
    with client.messages.stream(model=case.paced, max_tokens=500, messages=question, extra_headers={"X-Request-Id": mine}) as stream:
        for i, _ in enumerate(stream.text_stream):
            if i == 3:
                break
    eventually("the engine is told", lambda: '"cancelled":1' in seen(mine))


run()
