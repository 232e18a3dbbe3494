"""Where credentials were looked for and what is wrong there, in one line."""

from pathlib import Path

import pytest
from workspace_operator.cluster.connection import Connection, NoCredentials


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "there is no such file; set KUBECONFIG"),
        ("clusters: [", "while parsing a flow node .*; set KUBECONFIG"),
        ("", "; set KUBECONFIG"),
        ("a word", "; set KUBECONFIG"),
        ("current-context: none\nclusters: []\ncontexts: []\nusers: []", "; set KUBECONFIG"),
    ],
    ids=["missing", "no YAML", "empty", "text", "no such context"],
)
async def test_no_credentials_say_where_we_looked(
    tmp_path: Path, content: str | None, why: str
) -> None:
    file = tmp_path / "kubeconfig"
    if content is not None:
        file.write_text(content)
    with pytest.raises(NoCredentials, match=why) as refused:
        await Connection(str(file), on_answer=lambda: None).open()
    assert f"in {file}: " in str(refused.value)
    assert "\n" not in str(refused.value)
