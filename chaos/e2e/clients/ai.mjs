// Ordinary use of Vercel's AI SDK, by its provider for APIs that are compatible with OpenAI's.
import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, embedMany, generateObject, generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";
import { given, raised, run } from "./steps.mjs";

const provider = (apiKey) => createOpenAICompatible({
  name: "lotabots", baseURL: process.env.OPENAI_BASE_URL, apiKey, includeUsage: true, supportsStructuredOutputs: true,
});
const lotabots = provider(process.env.OPENAI_API_KEY);
const real = { model: lotabots(given.model), prompt: given.question, temperature: 0 };
const weather = tool({
  description: "Tells the weather.", inputSchema: z.object({ city: z.string() }), execute: async ({ city }) => `rain in ${city}`,
});
const Plan = z.object({ name: z.string(), number: z.number().int() });

await run({
  async generates() {
    const got = await generateText(real);
    assert.equal(got.text, given.answer);
    assert.equal(got.finishReason, "stop");
    assert(got.usage.outputTokens > 0);
  },

  async streams() {
    const got = streamText(real);
    let text = "", pieces = 0;
    for await (const piece of got.textStream) {
      text += piece;
      pieces++;
    }
    assert.equal(text, given.answer);
    assert(pieces > 3);
    assert((await got.usage).outputTokens > 0);
  },

  async tools() {
    const ask = { model: lotabots(given.mock), prompt: "What is the weather?", tools: { weather }, stopWhen: stepCountIs(3) };
    const whole = await generateText(ask);
    assert.equal(whole.text, "The tools said: rain in text.");
    assert.deepEqual(whole.steps[0].toolCalls[0].input, { city: "text" });
    const streamed = streamText(ask);
    await streamed.consumeStream();
    assert.equal(await streamed.text, whole.text);
    assert.equal((await streamed.steps)[0].toolCalls[0].toolName, "weather");
  },

  async schemas() {
    const { object } = await generateObject({ model: lotabots(given.mock), schema: Plan, prompt: "A plan." });
    assert.deepEqual(object, { name: "text", number: 7 });
    const { output } = await generateText({ model: lotabots(given.mock), output: Output.object({ schema: Plan }), prompt: "A plan." });
    assert.deepEqual(output, object);
    const streamed = streamText({ model: lotabots(given.mock), output: Output.object({ schema: Plan }), prompt: "A plan." });
    assert.deepEqual(await streamed.output, object);
  },

  async embeddings() {
    const got = await embedMany({ model: lotabots.textEmbeddingModel(given.model), values: ["one", "two"] });
    assert(got.embeddings.length === 2 && got.embeddings[0].length > 8);
  },

  async errors() {
    const wrong = await raised(APICallError, generateText({ ...real, model: provider(given.wrong)(given.model), maxRetries: 0 }));
    assert.equal(wrong.statusCode, 401);
    const none = await raised(APICallError, generateText({ ...real, model: lotabots("no-such-model"), maxRetries: 0 }));
    assert.equal(none.statusCode, 404);
    assert.match(none.message, /no-such-model/);
    assert.equal(JSON.parse(none.responseBody).error.code, "model_not_found");
  },
});
