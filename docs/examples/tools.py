import json

from openai import OpenAI

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather for a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def get_weather(city: str) -> dict[str, str]:
    return {"condition": "sunny"}


client = OpenAI()
messages = [{"role": "user", "content": "What is the weather in Paris?"}]
while True:
    completion = client.chat.completions.create(
        model="trunkline/gpt-oss-nano", messages=messages, tools=[WEATHER], temperature=0
    )
    message = completion.choices[0].message
    if not message.tool_calls:
        break
    messages.append(message)
    for call in message.tool_calls:
        print(f"{call.function.name}({call.function.arguments})")
        result = get_weather(**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)})
print(message.content)
