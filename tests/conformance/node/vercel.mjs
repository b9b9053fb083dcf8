// Vercel's AI SDK with its OpenAI provider: `vercel.mjs SCENE` plays one scene and prints what it got as JSON.

import { createOpenAI } from "@ai-sdk/openai";
import { generateText, Output, stepCountIs, streamText, tool } from "ai";
import { z } from "zod";

const { MODEL, QUESTION, EXTRACT, WEATHER, RESULT, URL, KEY } = process.env;
globalThis.AI_SDK_LOG_WARNINGS = false;
const model = createOpenAI({ baseURL: URL, apiKey: KEY })(MODEL);
const asked = { model, temperature: 0, maxRetries: 0 };
const withTools = {
  ...asked,
  prompt: WEATHER,
  stopWhen: stepCountIs(3),
  tools: {
    get_weather: tool({
      description: "Get the weather for a city",
      inputSchema: z.object({ city: z.string() }),
      execute: () => RESULT,
    }),
  },
};

const told = ({ text, reasoningText, steps }) => ({
  text,
  reasoning: reasoningText ?? null,
  inputs: steps.flatMap((step) => step.toolCalls.map((call) => call.input)),
});

const scenes = {
  async text() {
    const { text, finishReason, usage } = await generateText({ ...asked, prompt: QUESTION });
    return { text, finishReason, tokens: usage.totalTokens };
  },

  async stream() {
    const pieces = [];
    const result = streamText({ ...asked, prompt: QUESTION, onError: ({ error }) => { throw error; } });
    for await (const piece of result.textStream) pieces.push(piece);
    return pieces;
  },

  async tools() {
    return told(await generateText(withTools));
  },

  async tools_stream() {
    const result = streamText({ ...withTools, onError: ({ error }) => { throw error; } });
    await result.consumeStream();
    const [text, reasoningText, steps] = await Promise.all([
      result.text,
      result.reasoningText,
      result.steps,
    ]);
    return told({ text, reasoningText, steps });
  },

  async tools_sealed() {
    const openai = {
      store: false,
      forceReasoning: true,
      reasoningEffort: "low",
      reasoningSummary: "auto",
      include: ["reasoning.encrypted_content"],
    };
    return told(await generateText({ ...withTools, providerOptions: { openai } }));
  },

  async object() {
    const schema = z.object({ name: z.string(), age: z.number().int() });
    const output = Output.object({ schema });
    return (await generateText({ ...asked, prompt: EXTRACT, output })).output;
  },

  async turns() {
    const messages = [{ role: "user", content: QUESTION }];
    const first = await generateText({ ...asked, messages });
    messages.push(...first.response.messages, { role: "user", content: QUESTION });
    const second = await generateText({ ...asked, messages });
    return [first.usage.inputTokens, second.usage.inputTokens];
  },

  async previous() {
    const first = await generateText({ ...asked, prompt: QUESTION });
    const openai = { previousResponseId: first.providerMetadata.openai.responseId };
    const second = await generateText({ ...asked, prompt: QUESTION, providerOptions: { openai } });
    return [first.usage.inputTokens, second.usage.inputTokens];
  },

  async mistake() {
    const error = await generateText({ ...asked, temperature: 3, prompt: QUESTION }).catch((e) => e);
    return { name: error.name, status: error.statusCode, param: error.data.error.param };
  },
};

console.log(JSON.stringify(await scenes[process.argv[2]]()));
