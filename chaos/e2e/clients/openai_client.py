"""An ordinary script for OpenAI's client; base URL and key come from the
environment variables that the library itself reads."""

import os

import openai

client = openai.OpenAI()
model = os.environ["MODEL"]
messages = [{"role": "user", "content": os.environ["QUESTION"]}]

models = [m.id for m in client.models.list()]
assert model in models, models

answer = client.chat.completions.create(model=model, messages=messages, temperature=0)
assert answer.choices[0].finish_reason == "stop", answer
assert answer.choices[0].message.content == os.environ["ANSWER"], answer
assert answer.usage.completion_tokens > 0, answer

text, finish, usage = "", None, None
for chunk in client.chat.completions.create(
    model=model, messages=messages, temperature=0, stream=True, stream_options={"include_usage": True}
):
    if chunk.choices:
        text += chunk.choices[0].delta.content or ""
        finish = chunk.choices[0].finish_reason or finish
    usage = chunk.usage or usage
assert text == answer.choices[0].message.content, text
assert finish == "stop", finish
assert usage.completion_tokens == answer.usage.completion_tokens, usage

completion = client.completions.create(model=model, prompt=os.environ["ANSWER"][:22], temperature=0, max_tokens=8)
assert completion.choices[0].text

embeddings = client.embeddings.create(model=model, input=["one", "two"])
assert len(embeddings.data) == 2 and len(embeddings.data[0].embedding) > 8

try:
    client.chat.completions.create(model="no-such-model", messages=messages)
    raise SystemExit("an unknown model was accepted")
except openai.NotFoundError as e:
    assert e.code == "model_not_found", e
try:
    openai.OpenAI(api_key="lb-wrong").models.list()
    raise SystemExit("a wrong key was accepted")
except openai.AuthenticationError:
    pass

print(f'openai for Python: {len(models)} model(s), "{text}", embeddings of {len(embeddings.data[0].embedding)}')
