from openai import OpenAI
from pydantic import BaseModel


class Person(BaseModel):
    name: str
    age: int


client = OpenAI()
completion = client.chat.completions.parse(
    model="trunkline/gpt-oss-nano",
    messages=[
        {
            "role": "user",
            "content": "Extract name and age: Alice is 30 years old and lives in Paris.",
        }
    ],
    response_format=Person,
    temperature=0,
)
print(repr(completion.choices[0].message.parsed))
