from openai import OpenAI

client = OpenAI()  # reads OPENAI_BASE_URL and OPENAI_API_KEY
completion = client.chat.completions.create(
    model="trunkline/gpt-oss-nano",
    messages=[{"role": "user", "content": "What is the capital of France?"}],
    temperature=0,
)
print(completion.choices[0].message.content)
