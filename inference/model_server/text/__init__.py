"""Come from text to token ids and back: templates, tokenizer, tool calls, grammars."""
