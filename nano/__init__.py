"""How the built-in model is made: corpus, tokenizer, model, training, GGUF file, evaluation."""
