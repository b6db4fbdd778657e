"""The price book of a process: the price file, where one is named, before the library."""

from pathlib import Path

from services.shared.otlp.pricing import PriceBook
from services.shared.prices.library import LibraryPrices
from services.shared.prices.price_file import read_prices


def price_book(file: str) -> PriceBook:
    """Reads the file once. Raises `PriceFileError`; the settings have checked it before."""
    library = LibraryPrices()
    return PriceBook((read_prices(Path(file)), library) if file else (library,))
