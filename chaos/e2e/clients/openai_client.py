"""Ordinary use of OpenAI's client; base URL and key come from the environment
variables that the library itself reads."""

import asyncio
import json
import threading
import time
import urllib.request
import uuid

import httpx2
import openai
from pydantic import BaseModel

from steps import case, eventually, raised, run, step

client = openai.OpenAI()
question = [{"role": "user", "content": case.question}]


def keyed(key):
    return openai.OpenAI(api_key=key, max_retries=0)


def say(text):
    return [{"role": "user", "content": f"Say: {text}"}]


def seen(request):
    with urllib.request.urlopen(f"{case.seen}/{request}") as answer:
        return answer.read().decode()


@step
def models():
    listed = [m.id for m in client.models.list()]
    assert case.model in listed and case.mock in listed, listed
    assert client.models.retrieve(case.model).id == case.model


@step
def chat():
    answer = client.chat.completions.create(model=case.model, messages=question, temperature=0)
    assert answer.choices[0].finish_reason == "stop", answer
    assert answer.choices[0].message.content == case.answer, answer
    assert answer.usage.completion_tokens > 0, answer
    assert answer._request_id, "no request id"


@step
def streams():
    whole = client.chat.completions.create(model=case.model, messages=question, temperature=0)
    for asked in (True, False):
        options = {"stream_options": {"include_usage": True}} if asked else {}
        text, finish, usage, empty = "", None, None, 0
        for chunk in client.chat.completions.create(model=case.model, messages=question, temperature=0, stream=True, **options):
            empty += not chunk.choices
            if chunk.choices:
                text += chunk.choices[0].delta.content or ""
                finish = chunk.choices[0].finish_reason or finish
            usage = chunk.usage or usage
        assert text == case.answer and finish == "stop", (text, finish)
        if asked:
            assert usage.completion_tokens == whole.usage.completion_tokens and empty == 1, (usage, empty)
        else:
            assert empty == 0, "a chunk for usage that nobody asked for"


@step
def stream_helper():
    with client.chat.completions.stream(model=case.mock, messages=say("one two three")) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert final.choices[0].message.content == "one two three", final
    assert {"chunk", "content.delta", "content.done"} <= kinds, kinds


@step
def many_at_once():
    async def all():
        many = openai.AsyncOpenAI()
        async with many:
            return await asyncio.gather(*(many.chat.completions.create(model=case.mock, messages=say(f"number {i}")) for i in range(16)))

    for i, answer in enumerate(asyncio.run(all())):
        assert answer.choices[0].message.content == f"number {i}", answer


@step
def completions():
    answer = client.completions.create(model=case.model, prompt=case.answer[:22], temperature=0, max_tokens=8)
    assert answer.choices[0].text and answer.choices[0].finish_reason == "length", answer
    text = "".join(c.choices[0].text for c in client.completions.create(model=case.model, prompt=case.answer[:22], temperature=0, max_tokens=8, stream=True))
    assert text == answer.choices[0].text, text


@step
def logprobs():
    answer = client.chat.completions.create(model=case.model, messages=question, temperature=0, max_tokens=4, logprobs=True, top_logprobs=2)
    told = answer.choices[0].logprobs.content
    assert len(told) == answer.usage.completion_tokens and all(t.logprob <= 0 and len(t.top_logprobs) == 2 for t in told), told


@step
def images():
    """content parts reach the engine"""
    parts = [{"type": "text", "text": "Say: seen"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}]
    answer = client.chat.completions.create(model=case.mock, messages=[{"role": "user", "content": parts}])
    assert answer.choices[0].message.content == "seen(an image)", answer


def tool(name):
    return {"type": "function", "function": {"name": name, "description": "?", "parameters": {
        "type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}}, "required": ["city"]}}}


@step
def tools():
    """a call, its result, and the second turn"""
    messages = [{"role": "user", "content": "What is the weather?"}]
    first = client.chat.completions.create(model=case.mock, messages=messages, tools=[tool("weather")])
    assert first.choices[0].finish_reason == "tool_calls", first
    call = first.choices[0].message.tool_calls[0]
    assert call.function.name == "weather" and call.function.arguments == '{"city":"text","days":7}', call
    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "rain"}]
    second = client.chat.completions.create(model=case.mock, messages=messages, tools=[tool("weather")])
    assert second.choices[0].message.content == "The tools said: rain.", second
    none = client.chat.completions.create(model=case.mock, messages=say("no"), tools=[tool("weather")], tool_choice="none")
    assert none.choices[0].message.content == "no", none


@step
def streamed_tools():
    """two calls in parallel, their arguments in pieces"""
    asked = [{"role": "user", "content": "Use weather and traffic."}]
    with client.chat.completions.stream(model=case.mock, messages=asked, tools=[tool("weather"), tool("traffic")]) as stream:
        events = [e.type for e in stream]
        calls = stream.get_final_completion().choices[0].message.tool_calls
    assert [c.function.name for c in calls] == ["weather", "traffic"], calls
    assert all(c.function.arguments == '{"city":"text","days":7}' for c in calls), calls
    assert events.count("tool_calls.function.arguments.done") == 2, events


class Step(BaseModel):
    text: str
    number: int


class Plan(BaseModel):
    name: str
    steps: list[Step]


class Verdict(BaseModel):
    """What even the smallest model can fill in."""

    yes: bool


@step
def schemas():
    """parse() gives objects, from the mock and from a grammar"""
    answer = client.chat.completions.parse(model=case.mock, messages=question, response_format=Plan)
    assert answer.choices[0].message.parsed == Plan(name="text", steps=[Step(text="text", number=7)]), answer
    real = client.chat.completions.parse(model=case.model, messages=question, response_format=Verdict, temperature=0, max_tokens=60)
    assert isinstance(real.choices[0].message.parsed, Verdict), real
    with client.chat.completions.stream(model=case.mock, messages=question, response_format=Plan) as stream:
        stream.until_done()
        assert stream.get_final_completion().choices[0].message.parsed.name == "text"
    tool = openai.pydantic_function_tool(Plan)
    called = client.chat.completions.parse(model=case.mock, messages=question, tools=[tool])
    assert called.choices[0].message.tool_calls[0].function.parsed_arguments.steps[0].number == 7, called
    raised(openai.LengthFinishReasonError, lambda: client.chat.completions.parse(model=case.mock, messages=say("1 2 3"), max_tokens=1, response_format=Plan))


@step
def embeddings():
    """floats, and base64, which the library asks for by itself"""
    got = client.embeddings.create(model=case.model, input=["one", "two"])
    assert len(got.data) == 2 and len(got.data[0].embedding) > 8
    floats = client.embeddings.create(model=case.model, input=["one", "two"], encoding_format="float")
    assert all(abs(a - b) < 1e-6 for a, b in zip(got.data[1].embedding, floats.data[1].embedding))


@step
def errors():
    """each class is the library's own, with a code, a hint and the request's id"""
    ask = {"model": case.mock, "messages": question}
    for kind, code, does in [
        (openai.AuthenticationError, "invalid_api_key", lambda: keyed(case.wrong).models.list()),
        (openai.AuthenticationError, "revoked_api_key", lambda: keyed(case.revoked).chat.completions.create(**ask)),
        (openai.PermissionDeniedError, "model_not_allowed", lambda: keyed(case.narrow).chat.completions.create(**ask)),
        (openai.PermissionDeniedError, "permission_denied", lambda: keyed(case.mute).chat.completions.create(**ask)),
        (openai.NotFoundError, "model_not_found", lambda: client.chat.completions.create(model=case.mock + "s", messages=question)),
        (openai.NotFoundError, "not_found", lambda: client.fine_tuning.jobs.list()),
        (openai.BadRequestError, "invalid_request", lambda: client.chat.completions.create(model=case.mock, messages=question, temperature=9, n=0)),
        (openai.BadRequestError, "invalid_request", lambda: client.chat.completions.create(model=case.mock, messages=[])),
    ]:
        e = raised(kind, does)
        assert e.code == code, (code, e.code, e)
        assert e.request_id and e.body["request_id"] == e.request_id and e.body["hint"] and e.type, e.body
    e = raised(openai.NotFoundError, lambda: client.chat.completions.create(model=case.mock + "s", messages=question))
    assert "Did you mean" in e.body["hint"] and case.mock in e.body["hint"] and e.param == "model", e.body
    e = raised(openai.BadRequestError, lambda: client.chat.completions.create(model=case.mock, messages=question, temperature=9, n=0))
    assert {p["param"] for p in e.body["errors"]} == {"temperature", "n"}, e.body


@step
def limits():
    """429 tells when to come back, and the library does"""
    limited = keyed(case.limited)
    ask = lambda c: c.chat.completions.with_raw_response.create(model=case.mock, messages=say("in"))
    refused = None
    for _ in range(80):
        try:
            answer = ask(limited)
            assert int(answer.headers["x-ratelimit-limit-requests"]) == 60, answer.headers
        except openai.RateLimitError as e:
            refused = e
            break
    assert refused and refused.code == "rate_limit_exceeded", refused
    assert 1 <= int(refused.response.headers["retry-after"]) <= 60, refused.response.headers
    assert ask(limited.with_options(max_retries=8)).parse().choices[0].message.content == "in"


@step
def not_ready():
    """503 until there is an instance; the library's retries find it"""
    def place():
        body = {"engine": "external", "options": {"url": case.url}, "replicas": 1}
        request = urllib.request.Request(f"{case.api}/admin/v1/deployments/{case.late}", json.dumps(body).encode(), method="PUT",
                                         headers={"Authorization": f"Bearer {case.admin}", "Content-Type": "application/json"})
        urllib.request.urlopen(request).read()

    refusals = []
    noting = httpx2.Client(event_hooks={"response": [lambda r: refusals.append((r.status_code, r.headers.get("retry-after")))]})
    placing = threading.Timer(7, place)  # a request waits for some seconds before it is refused
    placing.start()
    patient = client.with_options(http_client=noting, max_retries=5)
    answer = patient.chat.completions.create(model=case.late, messages=say("late"))
    placing.join()
    assert answer.choices[0].message.content == "late", answer
    assert refusals[0][0] == 503 and int(refusals[0][1]) >= 1 and refusals[-1][0] == 200, refusals


@step
def timeouts():
    """the library gives up, and the engine with it"""
    mine = "t-" + uuid.uuid4().hex
    began = time.monotonic()
    raised(openai.APITimeoutError, lambda: client.with_options(timeout=1.0, max_retries=0).chat.completions.create(
        model=case.silent, messages=question, extra_headers={"X-Request-Id": mine}))
    assert time.monotonic() - began < 5
    eventually("the engine is told", lambda: '"cancelled":1' in seen(mine))


@step
def cancellation():
    """who leaves in the middle of a stream stops the engine"""
    mine = "c-" + uuid.uuid4().hex
    stream = client.chat.completions.create(model=case.paced, messages=question, stream=True, extra_headers={"X-Request-Id": mine})
    for i, _ in enumerate(stream):
        if i == 3:
            break
    stream.close()
    eventually("the engine is told", lambda: '"cancelled":1' in seen(mine))


@step
def responses():
    """a text, and what it has cost"""
    answer = client.responses.create(model=case.mock, instructions="Be short.", input="Say: one two")
    assert answer.output_text == "one two" and answer.status == "completed", answer
    assert answer.usage.output_tokens > 0 and answer.usage.input_tokens > 0, answer.usage
    real = client.responses.create(model=case.model, input=case.question, temperature=0)
    assert real.output_text == case.answer, real


@step
def streamed_responses():
    with client.responses.stream(model=case.mock, input="Say: one two") as stream:
        kinds = [e.type for e in stream]
        final = stream.get_final_response()
    assert final.output_text == "one two" and final.usage.output_tokens == 2, final
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed" and kinds.count("response.output_text.delta") == 2, kinds


@step
def tools_of_responses():
    tools = [{"type": "function", "name": "weather", "strict": False, "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}]
    history = [{"role": "user", "content": "What is the weather?"}]
    first = client.responses.create(model=case.mock, input=history, tools=tools)
    call = next(o for o in first.output if o.type == "function_call")
    assert call.name == "weather" and call.arguments == '{"city":"text"}', call
    history += [*first.output, {"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
    second = client.responses.create(model=case.mock, input=history, tools=tools)
    assert second.output_text == "The tools said: rain.", second
    with client.responses.stream(model=case.mock, input=history[:1], tools=tools) as stream:
        kinds = [e.type for e in stream]
        final = stream.get_final_response()
    assert final.output[0].arguments == '{"city":"text"}' and "response.function_call_arguments.done" in kinds, kinds


@step
def schemas_of_responses():
    parsed = client.responses.parse(model=case.mock, input="A plan.", text_format=Plan)
    assert parsed.output_parsed == Plan(name="text", steps=[Step(text="text", number=7)]), parsed


@step
def errors_of_responses():
    e = raised(openai.BadRequestError, lambda: client.responses.create(model=case.mock, input="x", previous_response_id="resp_1"))
    assert e.body["hint"] and e.param == "previous_response_id", e.body
    e = raised(openai.NotFoundError, lambda: client.responses.create(model="no-such-model", input="x"))
    assert e.code == "model_not_found" and e.request_id, e.body
    e = raised(openai.BadRequestError, lambda: client.responses.create(model=case.mock, input=7))
    assert e.body["hint"], e.body


@step
def audio():
    """a file up, a file down"""
    heard = client.audio.transcriptions.create(model=case.mock, file=("talk.wav", b"RIFF" + b"\0" * 96))
    assert heard.text == "100 bytes of talk.wav", heard
    text = client.audio.transcriptions.create(model=case.mock, file=("talk.wav", b"RIFF"), response_format="text")
    assert text.strip() == "4 bytes of talk.wav", text
    said = client.audio.speech.create(model=case.mock, voice="alloy", input="hello")
    assert said.content == b"ID3\x04hello", said.content
    e = raised(openai.NotFoundError, lambda: client.audio.transcriptions.create(model="no-such-model", file=("talk.wav", b"RIFF")))
    assert e.code == "model_not_found", e.body


@step
def rerank():
    got = client.post("/rerank", body={"model": case.mock, "query": "red fox", "documents": ["a dog", "a fox", "a hen"], "top_n": 2}, cast_to=object)
    assert [r["index"] for r in got["results"]] == [0, 1], got


run()
