from openai import OpenAI

client = OpenAI()
stream = client.chat.completions.create(
    model="trunkline/gpt-oss-nano",
    messages=[{"role": "user", "content": "Hello!"}],
    temperature=0,
    stream=True,
    stream_options={"include_usage": True},
)
for chunk in stream:
    for choice in chunk.choices:
        print(choice.delta.content or "", end="", flush=True)
    if chunk.usage:  # the last chunk, because of include_usage
        print(f"\n{chunk.usage.completion_tokens} tokens")
