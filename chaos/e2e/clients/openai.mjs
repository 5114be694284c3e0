// Ordinary use of OpenAI's client; base URL and key come from the environment
// variables that the library itself reads.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import OpenAI, { toFile } from "openai";
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { cancelled, eventually, given, raised, run, say } from "./steps.mjs";

const client = new OpenAI();
const keyed = (apiKey) => new OpenAI({ apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: given.question }];
const Plan = z.object({ name: z.string(), steps: z.array(z.object({ text: z.string(), number: z.number().int() })) });
const plan = { name: "text", steps: [{ text: "text", number: 7 }] };
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tool = (name) => ({ type: "function", function: { name, description: "?", parameters } });

await run({
  async models() {
    const listed = [];
    for await (const m of client.models.list()) listed.push(m.id);
    assert(listed.includes(given.model) && listed.includes(given.mock), `models: ${listed}`);
    assert.equal((await client.models.retrieve(given.model)).id, given.model);
  },

  async chat() {
    const answer = await client.chat.completions.create({ model: given.model, messages, temperature: 0 });
    assert.equal(answer.choices[0].finish_reason, "stop");
    assert.equal(answer.choices[0].message.content, given.answer);
    assert(answer.usage.completion_tokens > 0);
    assert(answer._request_id);
  },

  async streams() {
    for (const asked of [true, false]) {
      let text = "", finish = null, usage = null, empty = 0;
      const options = asked ? { stream_options: { include_usage: true } } : {};
      for await (const chunk of await client.chat.completions.create({ model: given.model, messages, temperature: 0, stream: true, ...options })) {
        if (chunk.choices.length === 0) empty++;
        text += chunk.choices[0]?.delta?.content ?? "";
        finish = chunk.choices[0]?.finish_reason ?? finish;
        usage = chunk.usage ?? usage;
      }
      assert.equal(text, given.answer);
      assert.equal(finish, "stop");
      assert.equal(empty, asked ? 1 : 0);
      if (asked) assert(usage.completion_tokens > 0);
    }
  },

  async streamHelper() {
    const stream = client.chat.completions.stream({ model: given.mock, messages: say("one two three") });
    let text = "";
    stream.on("content", (delta) => (text += delta));
    const final = await stream.finalChatCompletion();
    assert.equal(text, "one two three");
    assert.equal(final.choices[0].message.content, text);
  },

  async manyAtOnce() {
    const numbers = Array.from({ length: 16 }, (_, i) => i);
    const answers = await Promise.all(numbers.map((i) => client.chat.completions.create({ model: given.mock, messages: say(`number ${i}`) })));
    answers.forEach((a, i) => assert.equal(a.choices[0].message.content, `number ${i}`));
  },

  async completions() {
    const ask = { model: given.model, prompt: given.answer.slice(0, 22), temperature: 0, max_tokens: 8 };
    const whole = await client.completions.create(ask);
    assert(whole.choices[0].text.length > 0);
    let text = "";
    for await (const chunk of await client.completions.create({ ...ask, stream: true })) text += chunk.choices[0]?.text ?? "";
    assert.equal(text, whole.choices[0].text);
  },

  async tools() {
    const history = [{ role: "user", content: "What is the weather?" }];
    const first = await client.chat.completions.create({ model: given.mock, messages: history, tools: [tool("weather")] });
    const call = first.choices[0].message.tool_calls[0];
    assert.equal(first.choices[0].finish_reason, "tool_calls");
    assert.deepEqual(JSON.parse(call.function.arguments), { city: "text" });
    history.push(first.choices[0].message, { role: "tool", tool_call_id: call.id, content: "rain" });
    const second = await client.chat.completions.create({ model: given.mock, messages: history, tools: [tool("weather")] });
    assert.equal(second.choices[0].message.content, "The tools said: rain.");
  },

  async toolRunner() {
    const asked = [];
    const stream = client.chat.completions.runTools({
      model: given.mock, messages: [{ role: "user", content: "Use weather and traffic." }], stream: true,
      tools: ["weather", "traffic"].map((name) => ({
        type: "function",
        function: { name, parameters, parse: JSON.parse, function: ({ city }) => (asked.push(`${name} of ${city}`), `${name} is well`) },
      })),
    });
    assert.equal(await stream.finalContent(), "The tools said: weather is well, traffic is well.");
    assert.deepEqual(asked, ["weather of text", "traffic of text"]);
  },

  async schemas() {
    const parsed = await client.chat.completions.parse({ model: given.mock, messages, response_format: zodResponseFormat(Plan, "plan") });
    assert.deepEqual(parsed.choices[0].message.parsed, plan);
    const called = await client.chat.completions.parse({ model: given.mock, messages, tools: [zodFunction({ name: "plan", parameters: Plan })] });
    assert.deepEqual(called.choices[0].message.tool_calls[0].function.parsed_arguments, plan);
    const real = await client.chat.completions.parse({ model: given.model, messages, temperature: 0, max_tokens: 60,
      response_format: zodResponseFormat(z.object({ yes: z.boolean() }), "verdict") });
    assert.equal(typeof real.choices[0].message.parsed.yes, "boolean");
  },

  async embeddings() {
    const got = await client.embeddings.create({ model: given.model, input: ["one", "two"] });
    const floats = await client.embeddings.create({ model: given.model, input: ["one", "two"], encoding_format: "float" });
    assert.equal(got.data.length, 2);
    got.data[1].embedding.forEach((v, i) => assert(Math.abs(v - floats.data[1].embedding[i]) < 1e-6));
  },

  async errors() {
    const ask = { model: given.mock, messages };
    for (const [kind, code, does] of [
      [OpenAI.AuthenticationError, "invalid_api_key", () => keyed(given.wrong).models.list()],
      [OpenAI.AuthenticationError, "revoked_api_key", () => keyed(given.revoked).chat.completions.create(ask)],
      [OpenAI.PermissionDeniedError, "model_not_allowed", () => keyed(given.narrow).chat.completions.create(ask)],
      [OpenAI.PermissionDeniedError, "permission_denied", () => keyed(given.mute).chat.completions.create(ask)],
      [OpenAI.NotFoundError, "model_not_found", () => client.chat.completions.create({ model: "no-such-model", messages })],
      [OpenAI.BadRequestError, "invalid_request", () => client.chat.completions.create({ ...ask, temperature: 9 })],
    ]) {
      const e = await raised(kind, does());
      assert.equal(e.code, code);
      assert(e.requestID && e.error.request_id === e.requestID && e.error.hint && e.type, JSON.stringify(e.error));
    }
  },

  async limits() {
    const limited = keyed(given.limited);
    const ask = (options) => limited.chat.completions.create({ model: given.mock, messages: say("in") }, options);
    let refused = null;
    for (let i = 0; i < 80 && !refused; i++) await ask().catch((e) => (refused = e));
    assert.equal(refused?.constructor, OpenAI.RateLimitError, String(refused));
    assert(Number(refused.headers.get("retry-after")) >= 1);
    assert.equal((await ask({ maxRetries: 8 })).choices[0].message.content, "in");
  },

  async timeouts() {
    const id = `t-${randomUUID()}`;
    await raised(OpenAI.APIConnectionTimeoutError,
      client.chat.completions.create({ model: given.silent, messages }, { timeout: 1000, maxRetries: 0, headers: { "X-Request-Id": id } }));
    await eventually("the engine is told", () => cancelled(id));
  },

  async cancellation() {
    const id = `c-${randomUUID()}`;
    const stream = await client.chat.completions.create({ model: given.paced, messages, stream: true }, { headers: { "X-Request-Id": id } });
    let n = 0;
    for await (const _ of stream) if (++n === 3) break;
    await eventually("the engine is told", () => cancelled(id));
  },

  async responses() {
    const answer = await client.responses.create({ model: given.mock, instructions: "Be short.", input: "Say: one two" });
    assert.equal(answer.output_text, "one two");
    assert.equal(answer.status, "completed");
    const stream = client.responses.stream({ model: given.mock, input: "Say: one two" });
    const kinds = [];
    for await (const event of stream) kinds.push(event.type);
    assert.equal((await stream.finalResponse()).output_text, "one two");
    assert.equal(kinds[0], "response.created");
    assert.equal(kinds.at(-1), "response.completed");
  },

  async toolsOfResponses() {
    const tools = [{ type: "function", name: "weather", strict: false, parameters }];
    const history = [{ role: "user", content: "What is the weather?" }];
    const first = await client.responses.create({ model: given.mock, input: history, tools });
    const call = first.output.find((o) => o.type === "function_call");
    assert.deepEqual(JSON.parse(call.arguments), { city: "text" });
    history.push(...first.output, { type: "function_call_output", call_id: call.call_id, output: "rain" });
    assert.equal((await client.responses.create({ model: given.mock, input: history, tools })).output_text, "The tools said: rain.");
  },

  async schemasOfResponses() {
    const parsed = await client.responses.parse({ model: given.mock, input: "A plan.", text: { format: zodTextFormat(Plan, "plan") } });
    assert.deepEqual(parsed.output_parsed, plan);
    const e = await raised(OpenAI.BadRequestError, client.responses.create({ model: given.mock, input: "x", previous_response_id: "resp_1" }));
    assert.equal(e.param, "previous_response_id");
    assert(e.error.hint);
  },

  async audio() {
    const heard = await client.audio.transcriptions.create({ model: given.mock, file: await toFile(Buffer.alloc(100), "talk.wav") });
    assert.equal(heard.text, "100 bytes of talk.wav");
    const said = await client.audio.speech.create({ model: given.mock, voice: "alloy", input: "hello" });
    assert.equal(Buffer.from(await said.arrayBuffer()).toString("latin1"), "ID3\x04hello");
  },

  async rerank() {
    const got = await client.post("/rerank", { body: { model: given.mock, query: "red fox", documents: ["a dog", "a fox", "a hen"], top_n: 2 } });
    assert.deepEqual(got.results.map((r) => r.index), [0, 1]);
  },
});
