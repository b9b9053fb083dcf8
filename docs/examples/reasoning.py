from openai import OpenAI

client = OpenAI()
for effort in ("low", "medium", "high"):
    completion = client.chat.completions.create(
        model="trunkline/gpt-oss-nano",
        messages=[{"role": "user", "content": "What is the capital of Japan?"}],
        reasoning_effort=effort,
        temperature=0,
    )
    message = completion.choices[0].message
    print(f"{effort}: {message.reasoning}")
