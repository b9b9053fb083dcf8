from openai import BadRequestError, OpenAI

client = OpenAI()
try:
    client.chat.completions.create(
        model="trunkline/gpt-oss-nano",
        messages=[{"role": "user", "content": "Hello!"}],
        temperature=3,
    )
except BadRequestError as error:
    print(error.status_code, error.code, error.param)
