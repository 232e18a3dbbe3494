"""A tiny Mistral whose template has tools, and templates that write them in several ways."""

import json
from pathlib import Path
from typing import Any

from model_presets import catalog
from model_presets.tiny import make_tiny

CONTROLS = (
    "[INST]",
    "[/INST]",
    "[TOOL_CALLS]",
    "[AVAILABLE_TOOLS]",
    "[/AVAILABLE_TOOLS]",
    "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]",
)
V3 = Path(catalog.__file__).with_name("mistral-v3.jinja").read_text(encoding="utf-8").rstrip()
# Descriptions between quotes and results as they stand, as the hub's template of v0.3 has them.
BARE = (
    "{{- bos_token }}{%- set asked = messages | selectattr('role', 'equalto', 'user') | list %}"
    "{%- for turn in messages %}{%- if turn.role == 'user' %}"
    "{%- if tools is not none and turn == asked[-1] %}{{- '[AVAILABLE_TOOLS] [' }}"
    '{%- for tool in tools %}{{- \'{"type": "function", "function": {\' }}'
    "{%- for key, value in tool.function.items() %}"
    "{%- if value is string %}{{- '\"' + key + '\": \"' + value + '\"' }}"
    "{%- else %}{{- '\"' + key + '\": ' + value | tojson }}{%- endif %}"
    "{{- '' if loop.last else ', ' }}{%- endfor %}{{- '}}' + (']' if loop.last else ', ') }}"
    "{%- endfor %}{{- '[/AVAILABLE_TOOLS]' }}{%- endif %}"
    "{{- '[INST] ' + turn.content + '[/INST]' }}"
    "{%- elif turn.tool_calls is defined and turn.tool_calls is not none %}"
    "{{- '[TOOL_CALLS] [' }}{%- for call in turn.tool_calls %}"
    "{%- set said = call.function | tojson %}"
    "{{- said[:-1] + ', \"id\": \"' + call.id + '\"}' + (']' + eos_token if loop.last else ', ') }}"
    "{%- endfor %}{%- elif turn.role == 'assistant' %}{{- ' ' + turn.content + eos_token }}"
    "{%- else %}{{- '[TOOL_RESULTS] {\"content\": ' + turn.content | string }}"
    "{{- ', \"call_id\": \"' + turn.tool_call_id + '\"}[/TOOL_RESULTS]' }}{%- endif %}{%- endfor %}"
)
HERMES = (
    "{{ bos_token }}{% if tools %}{{ 'Tools: ' + tools | tojson + ' <tool_call>. ' }}{% endif %}"
    "{% for turn in messages %}{{ turn.role + ': ' + turn.content }}"
    "{% for call in turn.tool_calls or [] %}"
    "{{ '<tool_call>\n' + call.function | tojson + '\n</tool_call>' }}{% endfor %}"
    "{{ '\n' }}{% endfor %}"
)


def make_tool_model(directory: Path) -> None:
    """Write a tiny untrained Mistral with version 3's control tokens and template."""
    from tokenizers import AddedToken, Tokenizer  # noqa: PLC0415 - most tests need none
    from transformers import MistralForCausalLM  # noqa: PLC0415 - the same

    make_tiny(directory, steps=0)
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in CONTROLS])
    tokenizer.save(str(directory / "tokenizer.json"))
    model = MistralForCausalLM.from_pretrained(directory)
    model.resize_token_embeddings(tokenizer.get_vocab_size(with_added_tokens=True))
    model.config.max_position_embeddings = 8_192  # its tokens are short: tools take 500 of them
    for path in directory.glob("model*"):
        path.unlink()
    model.save_pretrained(directory)
    set_template(directory, V3)


def set_template(directory: Path, template: str) -> None:
    """Put a chat template into a model's folder."""
    path = directory / "tokenizer_config.json"
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "chat_template": template}), encoding="utf-8")
