// OpenAI's SDK for Node: `openai.mjs SCENE` plays one scene and prints what it got as JSON.

import OpenAI from "openai";
import { zodResponsesFunction, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const { MODEL: model, QUESTION, EXTRACT, WEATHER, RESULT } = process.env;
const client = new OpenAI({ maxRetries: 0 });
const person = z.object({ name: z.string(), age: z.number().int() });
const tools = [
  zodResponsesFunction({
    name: "get_weather",
    description: "Get the weather for a city",
    parameters: z.object({ city: z.string() }),
  }),
];

const resultOf = (call) => ({
  type: "function_call_output",
  call_id: call.call_id,
  output: RESULT,
});

const scenes = {
  async create() {
    return client.responses.create({ model, input: QUESTION, temperature: 0 });
  },

  async stream() {
    const asked = { model, input: QUESTION, temperature: 0, stream: true };
    const events = [];
    for await (const event of await client.responses.create(asked)) events.push(event);
    return events;
  },

  async stream_parse() {
    const format = zodTextFormat(person, "person");
    const asked = { model, input: EXTRACT, temperature: 0, text: { format } };
    return (await client.responses.stream(asked).finalResponse()).output_parsed;
  },

  async parse() {
    const format = zodTextFormat(person, "person");
    const asked = { model, input: EXTRACT, temperature: 0, text: { format } };
    return (await client.responses.parse(asked)).output_parsed;
  },

  async tools_previous() {
    const first = await client.responses.parse({ model, input: WEATHER, temperature: 0, tools });
    const call = first.output.at(-1);
    const last = await client.responses.create({
      model,
      previous_response_id: first.id,
      input: [resultOf(call)],
      temperature: 0,
      tools,
    });
    return { arguments: call.parsed_arguments, text: last.output_text };
  },

  async tools_replay() {
    const ask = { role: "user", content: WEATHER };
    const asked = { model, temperature: 0, tools, store: false };
    asked.include = ["reasoning.encrypted_content"];
    const first = await client.responses.parse({ ...asked, input: [ask] });
    const call = first.output.at(-1);
    const input = [ask, ...first.output, resultOf(call)];
    const last = await client.responses.create({ ...asked, input });
    return { arguments: call.parsed_arguments, text: last.output_text };
  },

  async state() {
    const first = await client.responses.create({ model, input: QUESTION, temperature: 0 });
    const found = await client.responses.retrieve(first.id);
    const items = [];
    for await (const item of client.responses.inputItems.list(first.id)) items.push(item);
    await client.responses.delete(first.id);
    const gone = await client.responses.retrieve(first.id).catch((error) => error.status);
    return { text: found.output_text, items: items.map((item) => item.type), gone };
  },

  async mistake() {
    const asked = { model, input: QUESTION, temperature: 3 };
    const error = await client.responses.create(asked).catch((error) => error);
    return { name: error.constructor.name, param: error.param };
  },
};

console.log(JSON.stringify(await scenes[process.argv[2]]()));
