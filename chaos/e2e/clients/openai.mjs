// An ordinary script for OpenAI's client; base URL and key come from the
// environment variables that the library itself reads.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI();
const model = process.env.MODEL;
const messages = [{ role: "user", content: process.env.QUESTION }];

const models = [];
for await (const m of client.models.list()) models.push(m.id);
assert(models.includes(model), `models: ${models}`);

const answer = await client.chat.completions.create({ model, messages, temperature: 0 });
assert.equal(answer.choices[0].finish_reason, "stop");
assert.equal(answer.choices[0].message.content, process.env.ANSWER);
assert(answer.usage.completion_tokens > 0);

let text = "", finish = null, usage = null;
const stream = await client.chat.completions.create({ model, messages, temperature: 0, stream: true, stream_options: { include_usage: true } });
for await (const chunk of stream) {
  text += chunk.choices[0]?.delta?.content ?? "";
  finish = chunk.choices[0]?.finish_reason ?? finish;
  usage = chunk.usage ?? usage;
}
assert.equal(text, answer.choices[0].message.content);
assert.equal(finish, "stop");
assert.equal(usage.completion_tokens, answer.usage.completion_tokens);

const completion = await client.completions.create({ model, prompt: process.env.ANSWER.slice(0, 22), temperature: 0, max_tokens: 8 });
assert(completion.choices[0].text.length > 0);

const embeddings = await client.embeddings.create({ model, input: ["one", "two"] });
assert.equal(embeddings.data.length, 2);
assert(embeddings.data[0].embedding.length > 8);

await assert.rejects(client.chat.completions.create({ model: "no-such-model", messages }), (e) => e.status === 404 && e.code === "model_not_found");
await assert.rejects(new OpenAI({ apiKey: "lb-wrong" }).models.list(), (e) => e.status === 401);

console.log(`openai for Node: ${models.length} model(s), "${text}", embeddings of ${embeddings.data[0].embedding.length}`);
