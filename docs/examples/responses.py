from openai import OpenAI

client = OpenAI()
first = client.responses.create(
    model="trunkline/gpt-oss-nano", input="My name is Ana.", temperature=0
)
second = client.responses.create(
    model="trunkline/gpt-oss-nano",
    input="What is my name?",
    previous_response_id=first.id,  # the router remembers what came before
    temperature=0,
)
print(second.output_text)
