request_id=$(curl -sS -o /dev/null -D - "$OPENAI_BASE_URL/chat/completions" \
  -H "Authorization: Bearer $OPENAI_API_KEY" \
  -d '{
    "model": "trunkline/gpt-oss-nano",
    "messages": [{"role": "user", "content": "What is the capital of Italy?"}],
    "temperature": 0
  }' | sed -n 's/^x-request-id: *\([^[:space:]]*\).*/\1/p')
sleep 1 # a receipt is there within a second of the reply's end
curl -sS "$OPENAI_BASE_URL/requests/$request_id" \
  -H "Authorization: Bearer $OPENAI_API_KEY" | python3 -m json.tool
