"""
Write a SentencePiece vocabulary as the tokenizer.json that a server reads.

A SentencePiece model of BPE type holds its merges only implicitly: a pair may merge where the
joined piece exists, and the piece of the highest score merges first (runs of spaces come last).
Written out, they are the merges of the hub's file. The result gives the token ids of Mistral's own
tokenizer; the tests compare them, prompt by prompt.

sentencepiece and transformers are imported where they are used (extra `convert`).
"""

from pathlib import Path

from model_presets.lock import WrongWeights


def write_tokenizer(model: Path, directory: Path) -> None:
    """
    Write tokenizer.json, tokenizer_config.json and the model itself into a folder.

    Args:
        model: A SentencePiece model, Mistral's tokenizer.model.
        directory: Where to.

    Raises:
        WrongWeights: when the file is no SentencePiece model.
    """
    from sentencepiece import SentencePieceProcessor  # noqa: PLC0415 - see the module's docstring
    from transformers import LlamaTokenizer  # noqa: PLC0415 - the same

    try:
        pieces = SentencePieceProcessor(model_file=str(model))
    except (OSError, RuntimeError) as error:
        raise WrongWeights(model, f"no SentencePiece model ({error}); fetch it again") from error
    vocabulary = {pieces.id_to_piece(i): i for i in range(len(pieces))}
    ranked = []
    controls = []
    for piece, id_ in vocabulary.items():
        if pieces.is_control(id_) and piece not in {"<s>", "</s>"}:
            controls.append(piece)
        if pieces.is_control(id_) or pieces.is_byte(id_) or pieces.is_unknown(id_):
            continue
        for left, right in ((piece[:cut], piece[cut:]) for cut in range(1, len(piece))):
            if left in vocabulary and right in vocabulary:
                ranked.append((pieces.get_score(id_), len(left), len(right), (left, right)))
    ranked.sort(key=lambda entry: entry[:3], reverse=True)
    tokenizer = LlamaTokenizer(
        vocab=vocabulary,
        merges=[pair for *_, pair in ranked],
        additional_special_tokens=controls or None,
        add_bos_token=True,
    )
    tokenizer.save_pretrained(directory)
    (directory / "tokenizer.model").write_bytes(model.read_bytes())
