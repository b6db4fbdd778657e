"""A file of prices comes before the library, and is checked as a whole."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from services.shared.errors import SettingsError
from services.shared.model.span import PICODOLLARS
from services.shared.otlp.pricing import NO_COST, Cost, PriceBook, Usage
from services.shared.prices import price_file
from services.shared.prices.library import LibraryPrices
from services.shared.prices.price_book import price_book
from services.shared.prices.price_file import FilePrices, PriceFileError
from services.shared.settings import load_settings

SECOND = 10**9
MILLION = Usage(10**6, 10**6, None, None, None, None)
CALLS = "spanloom_model_calls_total"


def moment(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * SECOND  # type: ignore[arg-type, misc]  # year, month, day, ...


def cost(text: str, usage: Usage = MILLION, *, provider: str = "", model: str = "m", at: int = 0) -> Cost | None:
    """What the file alone says."""
    found = PriceBook((FilePrices(text),)).cost(NO_COST, usage, model, provider, at, Counter())
    return None if found == NO_COST else found


def dollars(prompt: int, completion: int) -> Cost:
    return Cost(prompt * PICODOLLARS, completion * PICODOLLARS, (prompt + completion) * PICODOLLARS)


SIMPLE = """
[[price]]
model = "m"
prompt = 2
completion = "10"
"""


def test_a_price_is_dollars_for_a_million_tokens_and_exact_in_decimal() -> None:
    assert cost(SIMPLE) == dollars(2, 10)
    exact = SIMPLE.replace("= 2", "= 0.1000003")
    assert cost(exact, Usage(1, 0, None, None, None, None)) == Cost(100_000, 0, 100_000)  # 0.1000003 rounds down
    assert cost(exact, Usage(10, 0, None, None, None, None)) == Cost(1_000_003, 0, 1_000_003)


def test_cached_tokens_reasoning_and_calls_have_prices_of_their_own() -> None:
    text = SIMPLE + "cache_read = 1\ncache_write = 4\nreasoning = 20\ncall = 0.5\n"
    usage = Usage(10 * 10**6, 2 * 10**6, None, 3 * 10**6, 2 * 10**6, 10**6)

    assert cost(text, usage) == Cost(
        (5 * 2 + 3 * 1 + 2 * 4) * PICODOLLARS, (10 + 20) * PICODOLLARS, 51 * PICODOLLARS + PICODOLLARS // 2
    )


def test_without_prices_of_their_own_cached_tokens_and_reasoning_cost_what_the_others_do() -> None:
    assert cost(SIMPLE, Usage(10**6, 10**6, None, 10**5, 10**5, 10**5)) == dollars(2, 10)


def test_a_longer_prompt_than_a_limit_has_other_prices_for_all_of_its_tokens() -> None:
    text = (
        SIMPLE
        + "above = [{ prompt_tokens = 2_000_000, prompt = 7 }, "
        + "{ prompt_tokens = 1_000_000, prompt = 3, completion = 11 }]\n"
    )

    assert cost(text, Usage(10**6, 10**6, None, None, None, None)) == dollars(2, 10)
    assert cost(text, Usage(2 * 10**6, 10**6, None, None, None, None)) == dollars(6, 11)
    assert cost(text, Usage(3 * 10**6, 10**6, None, None, None, None)) == dollars(21, 10)


@pytest.mark.parametrize(
    ("provider", "model", "fits"),
    [
        ("azure", "gpt-4o", True),
        (" Azure ", "GPT-4o-eu", True),
        ("azure.ai.openai", "gpt-4o", True),
        ("openai", "gpt-4o", False),
        ("", "gpt-4o", False),
        ("azure", "my-gpt-4o", False),
        ("azure", "gptx4o", False),
    ],
)
def test_an_entry_fits_by_provider_and_model_with_stars_and_without_case(provider: str, model: str, fits: bool) -> None:
    text = '[[price]]\nprovider = "Azure*"\nmodel = "gpt-4o*"\nprompt = 1\ncompletion = 1\n'

    assert (cost(text, provider=provider, model=model) is not None) == fits


def test_the_first_entry_that_fits_decides() -> None:
    text = SIMPLE + '[[price]]\nmodel = "*"\nprompt = 1\ncompletion = 1\n'

    assert cost(text) == dollars(2, 10)
    assert cost(text, model="other") == dollars(1, 1)


DATED = """
[[price]]
model = "m"
from = 2026-07-01
prompt = 1
completion = 1

[[price]]
model = "m"
from = 2026-01-01T12:00:00+02:00
prompt = 2
completion = 2

[[price]]
model = "m"
from = 2026-10-01T00:00:00
unpriced = true
"""


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (moment(2026, 1, 1, 10) - 1, None),
        (moment(2026, 1, 1, 10), dollars(2, 2)),
        (moment(2026, 7, 1) - 1, dollars(2, 2)),
        (moment(2026, 7, 1), dollars(1, 1)),
        (moment(2026, 10, 1) - 1, dollars(1, 1)),
        (moment(2026, 10, 1), None),
    ],
)
def test_the_start_of_the_call_decides_which_price_holds(at: int, expected: Cost | None) -> None:
    assert cost(DATED, at=at) == expected


def test_before_the_first_period_of_a_model_the_library_holds_and_what_is_unpriced_stays_so() -> None:
    book = PriceBook((FilePrices(DATED.replace('"m"', '"gpt-4o"')), LibraryPrices()))
    counts: Counter[tuple[str, str]] = Counter()

    for at in (moment(2025, 12, 31), moment(2026, 8, 1), moment(2026, 11, 1)):
        book.cost(NO_COST, MILLION, "gpt-4o", "openai", at, counts)

    assert counts == {
        (CALLS, "library"): 1,
        (CALLS, "file"): 1,
        (CALLS, "unpriced"): 1,
        ("spanloom_unpriced_calls_total", "gpt-4o"): 1,
    }


def test_a_call_that_names_no_model_is_unpriced_and_counted_as_unnamed() -> None:
    counts: Counter[tuple[str, str]] = Counter()

    assert PriceBook((LibraryPrices(),)).cost(NO_COST, MILLION, "", "openai", moment(2026, 1, 1), counts) is NO_COST

    assert counts == {(CALLS, "unpriced"): 1, ("spanloom_unpriced_calls_total", "unnamed"): 1}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("price = 1", "write each entry under [[price]]"),
        ("prices = []", "prices: there is no such key"),
        ("[[price", "not TOML"),
        ("[[price]]\nprompt = 1", "price 1 (?): model is missing"),
        ("[[price]]\nmodel = 7\nprompt = 1", "model is 7, and must be text"),
        (SIMPLE + "input = 3", "price 1 (m): input: there is no such key"),
        (SIMPLE.replace("= 2", "= -2"), "prompt is '-2', and must be US dollars"),
        (SIMPLE.replace("= 2", "= nan"), "prompt is 'NaN', and must be US dollars"),
        (SIMPLE.replace("= 2", "= true"), "prompt is 'True', and must be US dollars"),
        (SIMPLE.replace("= 2", '= "two"'), "prompt is 'two', and must be US dollars"),
        (SIMPLE.replace("= 2", "= 1e9"), "and must be US dollars from 0 to a billion"),
        (SIMPLE.replace("= 2", "= 0.0000000000000000001"), "has more than 18 decimals"),
        (SIMPLE + 'from = "2026-07-01"', "must be a date (2026-07-01) or date-time, without quotes"),
        (SIMPLE + "from = 07:30:00", "must be a date"),
        (SIMPLE + SIMPLE, "price 2 (m): another entry of this provider and model has the same from"),
        (SIMPLE + "unpriced = true", "unpriced, and yet completion, prompt"),
        (SIMPLE + "unpriced = 1", "unpriced: true or false"),
        ('[[price]]\nmodel = "m"', "needs prompt, completion, call or `unpriced = true`"),
        (SIMPLE + "above = 3", "above: a list of"),
        (SIMPLE + "above = [{ prompt = 1 }]", "prompt_tokens is None, and must be a whole number over 0"),
        (SIMPLE + "above = [{ prompt_tokens = 5, output = 1 }]", "output: there is no such key"),
        (SIMPLE + "above = [{ prompt_tokens = 5 }, { prompt_tokens = 5 }]", "the same prompt_tokens twice"),
    ],
)
def test_what_is_wrong_is_told_with_the_entry_and_the_key(text: str, fault: str) -> None:
    with pytest.raises(PriceFileError) as raised:
        FilePrices(text)

    assert fault in str(raised.value)


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(PriceFileError) as raised:
        FilePrices("extra = 1\n[[price]]\nprompt = -1\n[[price]]\nmodel = 'b'\nprompt = 'x'\n")

    assert len(str(raised.value).splitlines()) == 4  # extra; no model, prompt; prompt


def test_a_start_with_a_file_that_cannot_be_used_names_the_file_and_the_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "prices.toml"
    for content in (None, b"[[price", b"\xff"):
        if content is not None:
            file.write_bytes(content)
        monkeypatch.setenv("SPANLOOM_PRICES_FILE", str(file))
        with pytest.raises(SettingsError, match=r"SPANLOOM_PRICES_FILE: cannot be used") as raised:
            load_settings()
        assert str(file) in str(raised.value)


def test_the_example_of_the_documentation_can_be_used(tmp_path: Path) -> None:
    documented = price_file.__doc__
    assert documented is not None
    file = tmp_path / "prices.toml"
    file.write_text("\n".join(line for line in documented.splitlines() if line.startswith("    ")))
    long = Usage(300_000, 10**6, None, None, None, None)
    found = price_book(str(file)).cost(NO_COST, long, "gpt-4o", "azure", moment(2026, 8, 1), Counter())

    assert found.prompt == 5 * PICODOLLARS * 3 // 10
