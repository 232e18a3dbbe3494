"""What an administrator says about prices and minutes is read strictly."""

from pathlib import Path

import pytest
from workspace_operator.figures import BadFigures, read_figures
from workspace_operator.settings import BadSetting, Settings

GOOD = 'currency: USD\npricesPerHour: {a: "1.25", b: 2}\nexpectedMinutes: {node_launched: 4}\n'


def test_prices_are_shown_with_their_currency_for_as_many_as_are_bought() -> None:
    figures = read_figures(GOOD)
    assert figures.price("a", 3) == "3.75 USD"
    assert figures.price("unheard-of") is None
    assert figures.expected_minutes["node_launched"] == 4


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "no YAML"),
        ("[]", ""),
        ("- a", "use the keys"),
        ("price: 1", "use the keys"),
        ("pricesPerHour: {a: 1}", "currency is missing"),
        ("currency: USD\npricesPerHour: {a: cheap}", "pricesPerHour.a: 'cheap'"),
        ("currency: USD\npricesPerHour: {a: -1}", "no positive number"),
        ("currency: USD\npricesPerHour: {a: true}", "no positive number"),
        ("currency: USD\npricesPerHour: {a: .inf}", "no positive number"),
        ("currency: USD\npricesPerHour: [a]", "is no mapping"),
        ("expectedMinutes: {lunch: 60}", "'lunch' is no phase"),
    ],
)
def test_what_is_wrong_is_named(text: str, says: str) -> None:
    if not says:
        assert read_figures(text).prices_per_hour == {}
        return
    with pytest.raises(BadFigures, match=says):
        read_figures(text)


def test_a_file_of_figures_is_a_setting(tmp_path: Path) -> None:
    file = tmp_path / "figures.yaml"
    file.write_text(GOOD)
    settings = Settings.from_environment({"ATELIER_PLAN_FIGURES": str(file)})
    assert settings.figures.currency == "USD"
    with pytest.raises(BadSetting, match=r"ATELIER_PLAN_FIGURES.*name a file of figures"):
        Settings.from_environment({"ATELIER_PLAN_FIGURES": str(tmp_path / "none")})
