// Ordinary use of Anthropic's client; base URL and key come from the environment
// variables that the library itself reads.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { z } from "zod";
import { cancelled, eventually, given, raised, run, say } from "./steps.mjs";

const client = new Anthropic();
const keyed = (apiKey) => new Anthropic({ apiKey, maxRetries: 0 });
const messages = [{ role: "user", content: given.question }];
const both = [{ role: "user", content: "Use weather and traffic." }];
const tool = (name) => ({ name, description: "?", input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] } });
const tools = [tool("weather"), tool("traffic")];

await run({
  async messages() {
    const answer = await client.messages.create({ model: given.model, max_tokens: 200, temperature: 0, messages });
    assert.equal(answer.content[0].text, given.answer);
    assert.equal(answer.stop_reason, "end_turn");
    assert(answer.usage.input_tokens > 0 && answer.usage.output_tokens > 0);
    assert(answer._request_id);
  },

  async streams() {
    let text = "";
    const stream = client.messages.stream({ model: given.model, max_tokens: 200, temperature: 0, messages }).on("text", (t) => (text += t));
    const final = await stream.finalMessage();
    assert.equal(text, given.answer);
    assert.equal(final.content[0].text, given.answer);
    assert.equal(final.stop_reason, "end_turn");
  },

  async rawStreams() {
    const kinds = [];
    for await (const event of await client.messages.create({ model: given.mock, max_tokens: 20, messages: say("one two"), stream: true })) kinds.push(event.type);
    assert.deepEqual(kinds.filter((k) => k !== "ping"),
      ["message_start", "content_block_start", "content_block_delta", "content_block_delta", "content_block_stop", "message_delta", "message_stop"]);
  },

  async tools() {
    const history = [...both];
    const first = await client.messages.create({ model: given.mock, max_tokens: 100, messages: history, tools });
    const calls = first.content.filter((b) => b.type === "tool_use");
    assert.deepEqual(calls.map((c) => [c.name, c.input]), [["weather", { city: "text" }], ["traffic", { city: "text" }]]);
    history.push({ role: "assistant", content: first.content },
      { role: "user", content: calls.map((c) => ({ type: "tool_result", tool_use_id: c.id, content: [{ type: "text", text: `${c.name} is well` }] })) });
    const second = await client.messages.create({ model: given.mock, max_tokens: 100, messages: history, tools });
    assert.equal(second.content[0].text, "The tools said: weather is well, traffic is well.");
  },

  async streamedTools() {
    const final = await client.messages.stream({ model: given.mock, max_tokens: 100, messages: both, tools }).finalMessage();
    assert.deepEqual(final.content.map((b) => b.input), [{ city: "text" }, { city: "text" }]);
    assert.equal(final.stop_reason, "tool_use");
  },

  async toolRunner() {
    const weather = betaZodTool({ name: "weather", description: "?", inputSchema: z.object({ city: z.string() }), run: ({ city }) => `rain in ${city}` });
    const final = await client.beta.messages.toolRunner({ model: given.mock, max_tokens: 100, messages, tools: [weather] });
    assert.equal(final.content[0].text, "The tools said: rain in text.");
  },

  async schemas() {
    const Plan = z.object({ name: z.string(), steps: z.array(z.object({ text: z.string(), number: z.number().int() })) });
    const parsed = await client.messages.parse({ model: given.mock, max_tokens: 100, messages, output_config: { format: zodOutputFormat(Plan) } });
    assert.deepEqual(parsed.parsed_output, { name: "text", steps: [{ text: "text", number: 7 }] });
  },

  async countTokens() {
    const few = await client.messages.countTokens({ model: given.model, messages: [{ role: "user", content: "Hi." }] });
    const more = await client.messages.countTokens({ model: given.model, system: "Be short.", messages });
    assert(few.input_tokens > 0 && few.input_tokens < more.input_tokens);
  },

  async errors() {
    const ask = { model: given.mock, max_tokens: 10, messages };
    for (const [kind, type, does] of [
      [Anthropic.AuthenticationError, "authentication_error", () => keyed(given.wrong).messages.create(ask)],
      [Anthropic.PermissionDeniedError, "permission_error", () => keyed(given.narrow).messages.create(ask)],
      [Anthropic.NotFoundError, "not_found_error", () => client.messages.create({ ...ask, model: "no-such-model" })],
      [Anthropic.BadRequestError, "invalid_request_error", () => client.messages.create({ ...ask, messages: [] })],
    ]) {
      const e = await raised(kind, does());
      assert.equal(e.error.error.type, type);
      assert(e.requestID && e.error.request_id === e.requestID && e.error.error.hint, JSON.stringify(e.error));
    }
  },

  async limits() {
    const limited = keyed(given.limited);
    const ask = (options) => limited.messages.create({ model: given.mock, max_tokens: 10, messages: say("in") }, options);
    let refused = null;
    for (let i = 0; i < 80 && !refused; i++) await ask().catch((e) => (refused = e));
    assert.equal(refused?.constructor, Anthropic.RateLimitError, String(refused));
    assert.equal((await ask({ maxRetries: 8 })).content[0].text, "in");
  },

  async timeouts() {
    const id = `t-${randomUUID()}`;
    await raised(Anthropic.APIConnectionTimeoutError,
      client.messages.create({ model: given.silent, max_tokens: 10, messages }, { timeout: 1000, maxRetries: 0, headers: { "X-Request-Id": id } }));
    await eventually("the engine is told", () => cancelled(id));
  },

  async cancellation() {
    const id = `c-${randomUUID()}`;
    const stream = await client.messages.create({ model: given.paced, max_tokens: 500, messages, stream: true }, { headers: { "X-Request-Id": id } });
    let n = 0;
    for await (const _ of stream) if (++n === 4) break;
    await eventually("the engine is told", () => cancelled(id));
  },
});
