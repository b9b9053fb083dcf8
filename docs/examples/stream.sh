curl -sSN "$OPENAI_BASE_URL/chat/completions" \
  -H "Authorization: Bearer $OPENAI_API_KEY" \
  -H "Content-Type: application/json" \
  -d '{
    "model": "trunkline/gpt-oss-nano",
    "messages": [{"role": "user", "content": "What is the capital of Peru?"}],
    "temperature": 0,
    "stream": true,
    "stream_options": {"include_usage": true}
  }'
