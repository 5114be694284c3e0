"""Ordinary use of LangChain, by its integration with OpenAI's client."""

from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from pydantic import BaseModel

from steps import case, run, step

real = ChatOpenAI(model=case.model, temperature=0)
mock = ChatOpenAI(model=case.mock)


@step
def invoke():
    answer = real.invoke(case.question)
    assert answer.content == case.answer and answer.usage_metadata["output_tokens"] > 0, answer


@step
def stream():
    pieces = list(real.stream(case.question))
    assert "".join(p.content for p in pieces) == case.answer and len(pieces) > 3, pieces


@step
def batch():
    answers = mock.batch([f"Say: {i}" for i in range(8)])
    assert [a.content for a in answers] == [str(i) for i in range(8)], answers


@tool
def weather(city: str) -> str:
    """Tells the weather."""
    return f"rain in {city}"


@step
def tools():
    messages = [HumanMessage("What is the weather?")]
    able = mock.bind_tools([weather])
    first = able.invoke(messages)
    assert first.tool_calls[0]["args"] == {"city": "text"}, first
    result = weather.invoke(first.tool_calls[0])
    assert isinstance(result, ToolMessage)
    assert able.invoke([*messages, first, result]).content == "The tools said: rain in text."
    whole = None
    for piece in able.stream(messages):
        whole = piece if whole is None else whole + piece
    assert whole.tool_calls[0]["args"] == {"city": "text"}, whole


class Plan(BaseModel):
    """A plan."""

    name: str
    number: int


@step
def schemas():
    for method in ("json_schema", "function_calling"):
        got = mock.with_structured_output(Plan, method=method).invoke("A plan.")
        assert got == Plan(name="text", number=7), (method, got)


@step
def responses():
    got = ChatOpenAI(model=case.mock, use_responses_api=True).invoke("Say: one two")
    assert got.text == "one two", got


@step
def embeddings():
    got = OpenAIEmbeddings(model=case.model, check_embedding_ctx_length=False).embed_documents(["one", "two"])
    assert len(got) == 2 and len(got[0]) > 8


run()
